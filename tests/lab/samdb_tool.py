"""What needs Samba's own bindings: accounts made offline, keytabs, bulk loads, permissions.

Run by the system's Python, which has those bindings: `python3 samdb_tool.py <smb.conf> <command>`, with the
command's arguments as JSON (for `load`: one JSON record a line) on standard input.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from typing import Any, TextIO

import ldb  # type: ignore[import-not-found]
from samba import dckeytab, param, sd_utils  # type: ignore[import-not-found]
from samba.auth import system_session  # type: ignore[import-not-found]
from samba.credentials import Credentials  # type: ignore[import-not-found]
from samba.net import Net  # type: ignore[import-not-found]
from samba.samdb import SamDB  # type: ignore[import-not-found]

# Importing it is what gives Net its export_keytab.
assert dckeytab

# One huge transaction is quadratic, and one a person is slow: 250 is the measured middle.
TRANSACTION_SIZE = 250


def found(samdb: Any, lp: Any, source: TextIO) -> None:
    """Make the reading account with its keytab, and give the controller its LDAP service principal."""
    wish = json.load(source)
    samdb.newuser(wish["reader"], wish["password"])
    change = ldb.Message(ldb.Dn(samdb, wish["controller_dn"]))
    change["spn"] = ldb.MessageElement([f"ldap/{wish['host']}"], ldb.FLAG_MOD_ADD, "servicePrincipalName")
    samdb.modify(change)
    credentials = Credentials()
    credentials.guess(lp)
    Net(credentials, lp).export_keytab(keytab=wish["keytab"], principal=wish["reader"])


def load(samdb: Any, lp: Any, source: TextIO) -> None:
    """Add records {"dn": text, "attributes": {name: [base64, ...]}} in transactions of 250."""
    del lp
    pending = 0
    for line in source:
        if pending == 0:
            samdb.transaction_start()
        record = json.loads(line)
        values = {name: [base64.b64decode(v) for v in many] for name, many in record["attributes"].items()}
        samdb.add({"dn": record["dn"], **values})
        pending += 1
        if pending == TRANSACTION_SIZE:
            samdb.transaction_commit()
            pending = 0
    if pending:
        samdb.transaction_commit()


def deny(samdb: Any, lp: Any, source: TextIO) -> None:
    """Put {"aces": SDDL} in front of each object's own permissions, which would win over an inherited denial."""
    del lp
    wish = json.load(source)
    sd = sd_utils.SDUtils(samdb)
    for dn in wish["dns"]:
        sd.dacl_prepend_aces(dn, wish["aces"])


def allow(samdb: Any, lp: Any, source: TextIO) -> None:
    """Take {"aces": SDDL} away again."""
    del lp
    wish = json.load(source)
    sd = sd_utils.SDUtils(samdb)
    for dn in wish["dns"]:
        # As text: SDUtils.dacl_delete_aces (4.17) does not find an ACE that it has itself written.
        sd.modify_sd_on_dn(dn, sd.get_sd_as_sddl(dn).replace(wish["aces"], ""))


COMMANDS = {"found": found, "load": load, "deny": deny, "allow": allow}


def main(configuration: str, command: str) -> None:
    """Open the domain's database beside the running server and carry out one command."""
    lp = param.LoadParm()
    lp.load(configuration)
    samdb = SamDB(url=lp.samdb_url(), session_info=system_session(), lp=lp)
    COMMANDS[command](samdb, lp, sys.stdin)


if __name__ == "__main__":
    os.umask(0o077)
    main(*sys.argv[1:3])
