// Does Microsoft's own JavaScript client get along with the lab's Graph? Prints what it saw, as JSON.
// Run by tests/test_lab_cloud_independent.py with GRAPH_URL, GRAPH_TOKEN, GRAPH_CLIENT (folder of the package) and a photo on stdin.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const { Client, PageIterator, BatchRequestContent, BatchResponseContent } = createRequire(import.meta.url)(process.env.GRAPH_CLIENT);
const root = process.env.GRAPH_URL;
const client = Client.init({
  baseUrl: root,
  customHosts: new Set([new URL(root).hostname]),
  authProvider: (done) => done(null, process.env.GRAPH_TOKEN),
});

const seen = { people: [] };
const first = await client.api("/users").select("id,userPrincipalName").top(2).get();
await new PageIterator(client, first, (person) => seen.people.push(person.id) > 0).iterate();
const [id, other] = seen.people;

const failure = async (asked) => asked.then(() => null, (error) => ({ status: error.statusCode, code: error.code }));
seen.before = await failure(client.api(`/users/${id}/photo`).get());
await client.api(`/users/${id}/photo/$value`).header("Content-Type", "image/jpeg").put(readFileSync(0));
seen.metadata = await client.api(`/users/${id}/photo`).get();
const picture = await client.api(`/users/${id}/photo/$value`).responseType("arraybuffer").get();
seen.bytes = Buffer.from(picture).toString("base64");

// the client only takes the host off, so the version is left out here
const items = [`/users/${id}/photo`, `/users/${other}/photo`].map((path, turn) => ({
  id: String(turn),
  request: new Request(`${root}${path}`, { method: "GET" }),
}));
const content = await new BatchRequestContent(items).getContent();
const answers = new BatchResponseContent(await client.api("/$batch").post(content));
seen.batch = [answers.getResponseById("0").status, answers.getResponseById("1").status];
seen.batchTag = (await answers.getResponseById("0").json())["@odata.mediaEtag"];

// the client retries by itself what it is told to wait for
seen.storm = (await client.api(`/users/${id}`).get()).id;
await client.api(`/users/${id}/photo/$value`).delete();
seen.after = await failure(client.api(`/users/${id}/photo`).get());
const delta = await client.api("/users/delta").select("id").get();
seen.delta = [delta.value.length, typeof delta["@odata.deltaLink"]];
console.log(JSON.stringify(seen));
