"""Present a proof: the open questions of docs/verified.md with their answers, as text and as JSON without any name."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from typing import TextIO

from connector import __version__
from connector.doctor.photo_reads import PhotoLook
from connector.doctor.prove import Proof
from connector.errors import ExitCode
from connector.photo import read_print

# The open questions, by their id in docs/verified.md.
QUESTIONS: Mapping[str, str] = {
    "read-lag": "After how long does each read show a write?",
    "put-status": "With which status is an upload accepted?",
    "header-tag": "Is the ETag header of the bytes the mediaEtag of the metadata?",
    "tag-moves": "Does the tag move between two reads without an edit?",
    "re-encoding": "Is the picture encoded anew, and at which size?",
    "sizes": "Which sizes does the service list?",
    "repeatable": "Do the same bytes give the same stored bytes?",
    "same-bytes-tag": "Do the same bytes, sent again, give a new tag?",
    "put-back": "How is a photo put back, and after how long do reads show it?",
    "delete": "How is a photo removed, and after how long do reads show it?",
    "refusal": "With what does the service refuse an upload?",
    "rate-limits": "What are the rate limits?",
    "minimum-pixels": "What is the smallest picture that is taken?",
}
NOT_TESTED = "not tested: one account does not show it"
NOT_SEEN = "not seen in time"


def answers_of(proof: Proof) -> dict[str, str]:
    """Return the answer to each open question, in words."""
    known = {
        "put-status": f"HTTP {proof.put_status}" if proof.put_status else "no answer came",
        "tag-moves": _yes(proof.moved_unasked) if proof.before.tag else "not tested: there was no photo before",
        "refusal": proof.put_error or "it was not refused",
        **_answers_about_stored(proof),
        **_answers_about_restore(proof),
    }
    return {question: known.get(question, NOT_TESTED) for question in QUESTIONS}


def as_json(proof: Proof) -> dict[str, object]:
    """Return the proof for programs and for a report to the project: no name, tenant, person, tag or picture in it."""
    return {
        "format": 1,
        "kind": "prove",
        "version": __version__,
        "python": platform.python_version(),
        "system": platform.system(),
        "started": proof.started,
        "finished": proof.finished,
        "exit_code": int(proof.exit_code),
        "had_photo": proof.before.has_photo,
        "sent": _picture(PhotoLook(content_bytes=proof.sent_bytes)),
        "put": {"status": proof.put_status, "seen_after_seconds": proof.delays},
        "stored": _stored(proof),
        "same_bytes_again": _again(proof),
        "restored": {
            "way": "put-back" if proof.before.has_photo else "delete",
            "status": proof.restore_status,
            "seen_after_seconds": proof.restore_delays,
            "changed_meanwhile": proof.was_changed_meanwhile,
        },
        "requests": proof.requests,
        "answers": [
            {"id": key, "question": QUESTIONS[key], "answer": answer} for key, answer in answers_of(proof).items()
        ],
    }


def write_proof_json(proof: Proof, out: TextIO) -> None:
    """Write the JSON, in ASCII for every console and pipe."""
    json.dump(as_json(proof), out, indent=2)
    out.write("\n")


def write_proof(proof: Proof, out: TextIO) -> None:
    """Write the answers line by line, and how the account was left."""
    for text in proof.notices:
        out.write(f"{text}\n")
    for key, answer in answers_of(proof).items():
        if answer != NOT_TESTED:
            out.write(f"{QUESTIONS[key]} {answer}\n")
    out.write(f"\n{_verdict(proof)}\n")
    out.flush()


def _verdict(proof: Proof) -> str:
    if proof.was_changed_meanwhile:
        return "The photo was changed during the test, so it was left as it is."
    left = "The photo from before was put back." if proof.before.has_photo else "The test picture was removed."
    if proof.exit_code is ExitCode.OK:
        return left
    return f"{left} Not everything was seen in time, or the upload was refused; see above."


def _answers_about_stored(proof: Proof) -> dict[str, str]:
    stored, again = proof.stored, proof.again
    if stored is None:
        return {}
    facts = _stored(proof)
    found = {"read-lag": _delays(proof.delays), "header-tag": _header(stored)}
    if stored.has_photo:
        found["re-encoding"] = (
            f"{'no' if facts['same_bytes_as_sent'] else 'yes'}: {facts['width']} x {facts['height']} pixels,"
            f" {facts['bytes']} bytes, fingerprint distance {facts['distance']}"
        )
    found["sizes"] = ", ".join(stored.sizes) or "none"
    if again is not None:
        found["same-bytes-tag"] = _yes(again.tag not in ("", stored.tag))
        found["repeatable"] = _yes(again.sha256 == stored.sha256)
    return found


def _answers_about_restore(proof: Proof) -> dict[str, str]:
    way = "put-back" if proof.before.has_photo else "delete"
    other = "not tested: there was a photo before" if proof.before.has_photo else "not tested: there was none before"
    answer = f"HTTP {proof.restore_status}; {_delays(proof.restore_delays)}" if proof.restore_delays else NOT_SEEN
    return {"put-back": other, "delete": other, way: answer}


def _stored(proof: Proof) -> dict[str, object]:
    if proof.stored is None:
        return {}
    shown, sent = proof.stored.shown, read_print(proof.sent_bytes)
    return {
        **_picture(proof.stored),
        "metadata_width": proof.stored.width,
        "metadata_height": proof.stored.height,
        "distance": shown.distance(sent) if shown is not None else None,
        "same_bytes_as_sent": proof.stored.content_bytes == proof.sent_bytes,
        "header_equals_tag": _header(proof.stored),
        "sizes": list(proof.stored.sizes),
    }


def _again(proof: Proof) -> dict[str, object]:
    if proof.again is None or proof.stored is None:
        return {"status": proof.again_status}
    return {
        "status": proof.again_status,
        "new_tag": proof.again.tag not in ("", proof.stored.tag),
        "same_stored_bytes": proof.again.sha256 == proof.stored.sha256,
    }


def _picture(look: PhotoLook) -> dict[str, object]:
    shown = look.shown
    width, height = (shown.width, shown.height) if shown is not None else (0, 0)
    return {"width": width, "height": height, "bytes": len(look.content_bytes)}


def _header(look: PhotoLook) -> str:
    if not look.header_tag:
        return "there is no header"
    return _yes(look.header_tag == look.tag)


def _delays(delays: Mapping[str, float | None]) -> str:
    return ", ".join(f"{way} {NOT_SEEN if delay is None else f'{delay:g} s'}" for way, delay in delays.items())


def _yes(value: object) -> str:
    return "yes" if value else "no"
