"""The HTML report works for people: in a real browser, light and dark, on a phone, with 20,000 rows."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from dataclasses import replace

import pytest
from PIL import Image

from connector.command import quoted, use_env_file
from connector.config import Pictures
from connector.model import Action, Reason
from connector.notify.mail import compose
from connector.report import ADVICE, save_report, write_report
from connector.report.plan import RISKS
from connector.report.thumbnails import EDGE, MOST_PEOPLE, PLAN_EDGE, thumbnail
from tests.report_stories import SCRIPT_NAME, a_picture, a_run, an_outcome, awkward_outcomes

pytest_plugins = ("tests.fixtures_browser",)

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
LOOKS = [{"color_scheme": "light"}, {"color_scheme": "dark"}, PHONE, PHONE | {"color_scheme": "dark"}]
LOOK_NAMES = ["light", "dark", "phone", "dark phone"]


def html(report, **options):
    stream = io.StringIO()
    write_report(report, "html", stream, **options)
    return stream.getvalue()


def found(pattern, text):
    match = re.search(pattern, text, re.DOTALL)
    assert match
    return match[1]


def island(text):
    return json.loads(found(r'<script type="application/json" id="data">(.*?)</script>', text))


def with_pictures(report, before=a_picture, after=lambda n: a_picture(n + 1)):
    def pictures(outcome):
        number = int(outcome.person_id.split("-")[1])
        return before(number), after(number)

    return replace(report, pictures=pictures)


@pytest.fixture
def show(tmp_path, open_file):
    def shown(report, *, pictures=Pictures.NONE, **options):
        path = tmp_path / "run.html"
        save_report(report, path, pictures=pictures)
        return open_file(path, **options)

    return shown


# the file


def test_the_file_fetches_nothing_and_runs_only_its_own_script():
    text = html(a_run())
    policy = found(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src &#39;none&#39;; script-src &#39;sha256-")
    assert "unsafe" not in policy
    assert not re.search(r"https?://|//cdn|@import|url\(", text)
    assert not re.search(r"<[a-z]+[^>]*\s(?:style|on[a-z]+)=", text)


def test_names_and_details_cannot_leave_their_place():
    evil = "</script><script>alert(1)</script>\"' onload=alert(2) <!--"
    outcome = an_outcome(Action.FAIL, Reason.CLOUD_ERROR, person=evil, upn=evil, detail=evil, account_id=evil)
    text = html(a_run([outcome], message=evil, notices=(evil,)))
    assert text.count("<script") == text.count("</script") == 2
    assert "<!--" not in text.split("</style>")[1]
    assert island(text)["rows"][0][0] == evil


def test_those_who_need_attention_come_first_and_nobody_is_lost():
    rows = island(html(a_run()))["rows"]
    assert [row[4] for row in rows[:2]] == ["fail", "fail"]
    assert {row[5] for row in rows[2:5]} == {"cloud-differs", "conflict-standing", "cloud-removed"}
    assert len(rows) == len(awkward_outcomes())


def test_each_concern_has_a_card_with_its_advice():
    text = html(a_run())
    assert text.count("<article") == 4
    assert "grant ProfilePhoto.ReadWrite.All" in text
    assert "Conflict · Replaced" in text
    assert "<code>SYNC_CONFLICT</code> decides" in text


def test_a_card_shows_the_first_people_and_leads_to_the_others():
    text = html(a_run([an_outcome(Action.FAIL, Reason.THROTTLED, number=n) for n in range(40)]))
    assert text.count("<li>") - len(a_run().notices) == 12
    assert "Show all 40 in the list" in text


def test_a_dry_run_says_what_would_be_done():
    text = html(a_run(dry_run=True))
    assert "Dry run: nothing was written" in text
    assert "Conflict · Would replace" in text
    assert "<dt>Would create</dt>" in text
    assert "<dt>Created</dt>" not in text


def test_a_brake_says_why_it_stopped():
    text = html(a_run([], exit_code=4, message="800 of 900 would be replaced; `sync --force` passes."))
    assert "Stopped by a safety limit" in text
    assert "800 of 900 would be replaced; <code>sync --force</code> passes." in text


def test_a_run_without_totals_has_no_numbers_and_no_bar():
    text = html(a_run([], totals={}, requests={}, pace={}, notices=()))
    assert "Summary" not in text
    assert "<rect" not in text


def test_accounts_that_are_nobodys_are_listed_as_far_as_a_page_should():
    upns = [f"stray{n}@contoso.com<b>" for n in range(600)]
    report = a_run(unmatched=lambda: iter(upns), totals={**a_run().totals, "unmatched_accounts": 600})
    text = html(report)
    assert text.count("@contoso.com&lt;b&gt;</li>") == 500
    assert "And 100 more;" in text
    assert "<summary>Cloud accounts without an in-scope user" not in html(a_run())
    assert "<summary>Cloud accounts without an in-scope user" in text


def test_more_rows_than_a_browser_likes_are_left_out_and_counted():
    outcomes = [an_outcome(Action.SKIP, Reason.NO_PHOTO, number=n) for n in range(50_010)]
    data = island(html(a_run(outcomes)))
    assert (len(data["rows"]), data["leftOut"]) == (50_000, 10)


# pictures


@pytest.mark.parametrize(
    "allowed, shown",
    [
        (Pictures.NONE, set()),
        (Pictures.CONFLICTS, {3, 4, 5}),
        (Pictures.CHANGES, {1, 2, 3, 4, 5, 6}),
    ],
)
def test_the_setting_says_whose_pictures_are_shown(allowed, shown):
    asked = []

    def before(number):
        asked.append(number)
        return a_picture(number)

    html(with_pictures(a_run(), before=before), pictures=allowed)
    assert set(asked) == shown
    assert len(asked) == len(shown), "nobody's pictures are made twice"


def test_at_most_500_people_have_pictures_and_the_report_says_so():
    outcomes = [an_outcome(Action.CREATE, Reason.FIRST_UPLOAD, number=n) for n in range(MOST_PEOPLE + 20)]
    one = a_picture(1)
    report = with_pictures(a_run(outcomes), before=lambda _: None, after=lambda _: one)
    data = island(html(report, pictures=Pictures.CHANGES))
    assert sum(row[9] is not None for row in data["rows"]) == MOST_PEOPLE
    assert data["pictures"] == "Photos are shown for the first 500 users only."


@pytest.mark.parametrize("size", [48, 200, 1500])
def test_a_thumbnail_is_at_most_96_pixels(size):
    made = thumbnail(a_picture(1, size=size))
    assert max(_opened(made).size) == min(size, EDGE)


def test_a_thumbnail_stands_upright_and_carries_no_metadata():
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("CMYK", (200, 100)).save(stream, "JPEG", exif=exif)
    opened = _opened(thumbnail(stream.getvalue()))
    assert (opened.size, opened.mode, dict(opened.getexif())) == ((48, 96), "RGB", {})


def _bomb():
    stream = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    "photo_bytes",
    [None, b"", b"nonsense", a_picture(1)[:400], b"GIF89a\x00", _bomb()],
    ids=["none", "empty", "nonsense", "cut short", "half a header", "too many pixels"],
)
def test_what_cannot_be_read_has_no_thumbnail(photo_bytes):
    assert thumbnail(photo_bytes) == ""


def test_a_person_whose_pictures_are_broken_is_told_without():
    report = with_pictures(a_run(), before=lambda _: b"nonsense", after=lambda _: None)
    assert all(row[9] is None for row in island(html(report, pictures=Pictures.CHANGES))["rows"])


def _opened(address):
    return Image.open(io.BytesIO(base64.b64decode(address.removeprefix("data:image/jpeg;base64,"))))


# the browser


@pytest.mark.browser
@pytest.mark.parametrize("look", LOOKS, ids=LOOK_NAMES)
def test_it_opens_without_a_complaint_and_without_the_network(show, look):
    tab = show(with_pictures(a_run()), pictures=Pictures.CHANGES, **look)
    assert tab.page.locator("h1").inner_text().startswith("The run finished, but 2 people failed: 3 photos created")
    assert tab.page.locator(".roster tbody tr").count() == len(awkward_outcomes())
    places = tab.page.locator(".roster tbody tr").evaluate_all("rows => rows.map(row => row.getBoundingClientRect().x)")
    assert all(0 < x < 200 for x in places), "every person is in sight"
    assert tab.complaints == []
    assert [url[:5] for url in tab.requests if not url.startswith("data:")] == ["file:"]


@pytest.mark.browser
def test_a_person_called_script_is_shown_and_does_nothing(show):
    tab = show(a_run())
    tab.page.get_by_label("Find").fill("alert(document")
    _expect(tab, "1 person (of 12).")
    assert SCRIPT_NAME in tab.page.locator(".roster tbody th").inner_text()
    tab.page.get_by_text("Facts").click()
    tab.page.locator(".roster tbody details[open] dl").filter(has_text=f"CN={SCRIPT_NAME}").wait_for()
    assert tab.complaints == []


@pytest.mark.browser
@pytest.mark.parametrize(
    "typed, names",
    [
        ("berg", ["Berg, Anna"]),
        ("JOSE nandu", ["José Ñandú"]),
        ("anna@contoso.com", ["Berg, Anna"]),
        ("account-6", ["Person 6"]),
        ("errorAccessDenied", ["Berg, Anna"]),
        ("somebody removed", ["Person 5"]),
        ("</script><!--", ["line break  </script><!-- \ufffd[2J"]),
        ("nobody at all", []),
    ],
)
def test_people_are_found_by_what_one_knows_of_them(show, typed, names):
    tab = show(a_run())
    tab.page.get_by_label("Find").fill(typed)
    _expect(tab, f"{'1 person' if len(names) == 1 else f'{len(names)} people'} (of 12).")
    assert tab.page.locator(".roster tbody th strong").all_text_contents() == names
    assert tab.page.get_by_text("No matches.").count() == (not names)


@pytest.mark.browser
def test_the_list_is_narrowed_by_action_and_reason_and_widened_again(show):
    tab = show(a_run())
    page = tab.page
    page.get_by_label("Action").select_option(label="Skipped (3)")
    _expect(tab, "3 people (of 12).")
    page.get_by_label("Reason").select_option(label=f"{ADVICE[Reason.NO_PHOTO].title} (2)")
    _expect(tab, "2 people (of 12).")
    page.get_by_label("Find").fill("line")
    _expect(tab, "1 person (of 12).")
    page.get_by_role("button", name="Show all", exact=True).click()
    _expect(tab, "12 people.")


@pytest.mark.browser
def test_a_card_leads_to_all_of_its_people(show):
    outcomes = [an_outcome(Action.FAIL, Reason.THROTTLED, number=n) for n in range(40)]
    tab = show(a_run([*outcomes, *awkward_outcomes()]))
    tab.page.get_by_role("button", name="Show all 40 in the list").click()
    _expect(tab, "40 people (of 52).")
    assert tab.page.evaluate("document.activeElement.id") == "list"


@pytest.mark.browser
def test_it_can_be_used_by_keyboard_alone(show):
    tab = show(a_run())
    page = tab.page
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    for _ in range(2):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "find":
            break
    page.keyboard.type("berg")
    _expect(tab, "1 person (of 12).")
    for _ in ("action", "reason", "show all", "by person", "by action", "by why", "facts"):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator(".roster tbody details[open] dd").first.inner_text() == "access-denied"


@pytest.mark.browser
def test_a_header_sorts_the_list_both_ways_and_keeps_the_focus(show):
    outcomes = [an_outcome(Action.SKIP, Reason.NO_PHOTO, number=n, person=f"CN={n}") for n in (2, 10, 1)]
    page = show(a_run(outcomes)).page
    header = page.get_by_role("button", name="Person", exact=True)

    header.click()
    assert page.locator(".roster tbody strong").all_inner_texts() == ["1", "2", "10"]
    assert page.locator("[aria-sort=ascending]").inner_text() == "Person"
    page.keyboard.press("Enter")
    assert page.locator(".roster tbody strong").all_inner_texts() == ["10", "2", "1"]
    assert page.locator("[aria-sort=descending]").count() == 1


@pytest.mark.browser
def test_before_and_after_stand_side_by_side(show):
    report = with_pictures(a_run(), before=lambda n: None if n == 5 else a_picture(n))
    tab = show(report, pictures=Pictures.CONFLICTS)
    for row in [".roster tbody tr", ".faces li"]:
        shots = tab.page.locator(row).filter(has_text="Person 3").locator("img")
        assert shots.count() == 2
        boxes = [shot.bounding_box() for shot in shots.all()]
        assert boxes[0]["y"] == boxes[1]["y"]
        assert boxes[0]["x"] + boxes[0]["width"] < boxes[1]["x"]
    widths = tab.page.locator("img").evaluate_all("images => images.map(one => one.complete && one.naturalWidth)")
    assert set(widths) == {EDGE}
    assert tab.page.get_by_alt_text("Before: photo of Person 3").count() == 2
    assert tab.page.locator(".roster tbody tr").filter(has_text="Person 5").locator(".blank").inner_text() == "no photo"
    assert tab.page.locator(".roster tbody tr").filter(has_text="Person 4").locator(
        "figcaption"
    ).all_text_contents() == [
        "Cloud",
        "Source",
    ]
    assert tab.complaints == []


@pytest.mark.browser
def test_20000_people_load_and_filter(show):
    outcomes = [
        an_outcome(
            Action.REPLACE if n % 10 else Action.FAIL, Reason.SOURCE_CHANGED if n % 10 else Reason.THROTTLED, number=n
        )
        for n in range(20_000)
    ]
    tab = show(a_run(outcomes))
    _expect(tab, "20,000 people, the first 200 shown.")
    assert tab.page.locator("tr").count() < 1_000, "the whole list is never laid out at once"
    tab.page.get_by_label("Action").select_option(label="Failed (2,000)")
    _expect(tab, "2,000 people (of 20,000), the first 200 shown.")
    tab.page.get_by_role("button", name="Show 200 more").click()
    _expect(tab, "2,000 people (of 20,000), the first 400 shown.")
    tab.page.get_by_role("button", name="Show all", exact=True).click()
    tab.page.get_by_label("Find").fill("person19999@")
    _expect(tab, "1 person (of 20,000).")
    assert tab.page.locator(".roster tbody th strong").all_text_contents() == ["Person 19999"]
    assert tab.complaints == []


def a_plan(count=14, **changes):
    """Make a dry run that plans writes of every risk, in three units, and skips one person."""
    kinds = (
        (Action.CREATE, Reason.FIRST_UPLOAD, False),
        (Action.REPLACE, Reason.SOURCE_CHANGED, False),
        (Action.REMOVE, Reason.SOURCE_REMOVED, False),
        (Action.REPLACE, Reason.CLOUD_DIFFERS, True),
    )
    units = ("OU=Staff", "OU=Sales,OU=Staff", r"OU=Berlin\, East,OU=Staff")
    outcomes = [an_outcome(Action.SKIP, Reason.NO_PHOTO, number=count)]
    for number in range(count):
        action, reason, is_foreign = kinds[number % 4]
        person = f"CN=Person {number},{units[number % 3]},DC=contoso,DC=com"
        outcomes.append(an_outcome(action, reason, number=number, person=person, over_foreign=is_foreign))
    return a_run(outcomes, **{"dry_run": True, "exit_code": 0, "plan_size": count, "notices": (), **changes})


def test_a_plan_is_listed_by_risk_and_whoever_is_not_in_it_comes_last():
    text = html(a_plan())
    data = island(text)
    assert [row[12] for row in data["rows"][:14]] == [0] * 3 + [1] * 3 + [2] * 4 + [3] * 4
    assert [len(row) for row in data["rows"]] == [14] * 14 + [12]
    assert data["plan"]["command"] == "photo-connector sync --approve 12"
    assert "Approve this plan" in text
    assert island(html(a_run()))["plan"] is None


def test_a_plan_too_large_to_be_ticked_is_approved_by_the_csv_report():
    text = html(a_plan(plan_size=50_001))
    assert island(text)["plan"] is None
    assert "too many to be ticked here" in text
    assert 'id="save"' not in text


@pytest.mark.browser
def test_what_is_ticked_on_the_plan_page_is_the_file_for_the_approval(show, tmp_path):
    use_env_file(tmp_path / "contoso.env")
    try:
        tab = show(with_pictures(a_plan()), pictures=Pictures.CHANGES)
    finally:
        use_env_file(None)
    page = tab.page
    command = f"photo-connector sync --env-file {quoted(str(tmp_path / 'contoso.env'))} --approve 12"
    assert (page.locator("#approve").inner_text(), page.locator("#save").is_disabled()) == (command, True)
    assert page.locator(".group strong").all_text_contents() == [*RISKS, "Not in the plan"]
    assert page.locator(".chooser img").first.evaluate("one => one.naturalWidth") == PLAN_EDGE

    page.get_by_label("Approve Person 3").uncheck()
    page.get_by_label("Unit").select_option(label="contoso.com/Staff/Berlin, East (4)")
    page.get_by_role("button", name="Untick all that match").click()
    page.get_by_label("Approve Person 5").check()

    assert page.locator("#ticked").inner_text() == "10 of 14 are ticked."
    assert page.locator("#approve").inner_text() == f"{command} --except plan-12.csv"
    with page.expect_download() as saving:
        page.get_by_role("button", name="Save the list").click()
    saving.value.save_as(tmp_path / "saved.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "saved.csv").read_text("utf-8-sig"))))
    assert {row["person_id"] for row in rows} == {f"person-{n}" for n in range(14) if n not in (2, 3, 8, 11)}
    assert set(rows[0]) == {"name", "upn", "person_id", "target"}
    assert tab.complaints == []
    assert [url[:5] for url in tab.requests if not url.startswith(("data:", "blob:"))] == ["file:"]


@pytest.mark.browser
def test_a_plan_of_20000_is_unticked_by_unit(show):
    tab = show(a_plan(20_000))
    assert tab.page.locator("tr").count() < 1_000, "the whole plan is never laid out at once"
    tab.page.get_by_label("Unit").select_option(index=1)
    tab.page.get_by_role("button", name="Untick all that match").click()
    assert tab.page.locator("#ticked").inner_text() == "13,333 of 20,000 are ticked."
    assert tab.complaints == []


@pytest.mark.browser
def test_on_paper_the_list_stands_without_its_buttons(show):
    outcomes = [an_outcome(Action.REPLACE, Reason.SOURCE_CHANGED, number=n) for n in range(600)]
    tab = show(a_run(outcomes))
    tab.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    tab.page.emulate_media(media="print")
    assert tab.page.locator(".roster tbody tr").count() == 600
    assert not tab.page.locator("form").is_visible()
    assert tab.page.pdf(format="A4").count(b"/Type /Page\n") > 5


@pytest.mark.browser
def test_without_javascript_the_top_of_the_report_still_tells_it(show):
    tab = show(a_run(), java_script_enabled=False)
    assert "Berg, Anna" in tab.page.locator(".faces").first.inner_text()
    assert "report 12 --format csv" in tab.page.locator("noscript").inner_text()
    assert not tab.page.locator("form").is_visible()


@pytest.mark.browser
@pytest.mark.parametrize("look", LOOKS, ids=LOOK_NAMES)
@pytest.mark.parametrize("story", ["awkward", "brake", "calm", "plan"])
def test_everybody_can_use_it(show, axe, look, story):
    stories = {
        "awkward": with_pictures(a_run(unmatched=lambda: iter(["stray@contoso.com"]))),
        "brake": a_run([], exit_code=4, message="Too many; `sync --force` passes.", dry_run=True),
        "plan": with_pictures(a_plan(exit_code=4, message="Too many.", dry_run=False)),
        "calm": a_run([an_outcome(Action.CREATE, Reason.FIRST_UPLOAD)], exit_code=0, notices=()),
    }
    tab = show(stories[story], pictures=Pictures.CHANGES, **look)
    for closed in tab.page.locator("details").all():
        closed.locator("summary").click()
    tab.page.evaluate(axe)
    result = tab.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    told = [
        f"{broken['impact']} {broken['id']}: {node['html'][:200]} {node['failureSummary']}"
        for broken in result["violations"]
        for node in broken["nodes"]
    ]
    assert [line for line in told if line.startswith(("serious", "critical"))] == []
    assert len(result["violations"]) == 0, told


@pytest.mark.browser
@pytest.mark.parametrize("look", LOOKS, ids=LOOK_NAMES)
@pytest.mark.parametrize("exit_code", [0, 3, 4, 5])
def test_everybody_can_use_the_mail(tmp_path, open_file, axe, look, exit_code):
    report = a_run(
        exit_code=exit_code, tenant="contoso.com", host="sync1", message="Too many." if exit_code > 3 else ""
    )
    mail = compose(report, to=("ops@contoso.com",), sender="photos@contoso.com").get_body(("html",))
    assert mail is not None
    path = tmp_path / "mail.html"
    path.write_text(mail.get_content(), "utf-8")
    tab = open_file(path, **look)
    tab.page.evaluate(axe)
    result = tab.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert [broken["id"] for broken in result["violations"]] == []
    assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.browser
def test_a_run_without_users_says_so_once(show):
    tab = show(a_run([], exit_code=5, message="No answer."))
    assert tab.page.locator("#people-section").inner_text().split("\n\n") == [
        "Users in this report", "This run has no users to list."
    ]  # fmt: skip


@pytest.mark.browser
def test_nothing_reaches_beyond_the_edge_of_a_phone(show):
    long = "x" * 300
    outcomes = [an_outcome(Action.FAIL, Reason.CLOUD_ERROR, person=long, upn=long, detail=long), *awkward_outcomes()]
    report = with_pictures(a_run(outcomes, message=long, notices=(long,)))
    tab = show(report, pictures=Pictures.CHANGES, **(PHONE | {"viewport": {"width": 320, "height": 700}}))
    assert tab.page.evaluate("document.documentElement.scrollWidth") == 320


def _expect(tab, said):
    tab.page.wait_for_function("said => document.getElementById('shown').textContent === said", arg=said)
