"""Add the attributes of Exchange that tell a shared mailbox from a leaver to the schema of the test domain.

As Exchange's own setup does, over LDAP; the kinds of the values are Exchange's, the object identifiers are not.
"""

from __future__ import annotations

import ldap3

from tests.lab.directory import Directory

_LARGE_INTEGER, _INTEGER = ("2.5.5.16", "65"), ("2.5.5.9", "2")
# Below the arc that Microsoft gives to those who extend their schema.
_ARC = "1.2.840.113556.1.8000.2554.4711"
ATTRIBUTES = {
    "msExchRecipientTypeDetails": ("ms-Exch-Recipient-Type-Details", _LARGE_INTEGER),
    "msExchRemoteRecipientType": ("ms-Exch-Remote-Recipient-Type", _LARGE_INTEGER),
    "msExchRecipientDisplayType": ("ms-Exch-Recipient-Display-Type", _INTEGER),
}


def add_exchange_attributes(directory: Directory) -> None:
    """Extend the schema once; a domain that has the attributes already stays as it is."""
    schema = f"CN=Schema,CN=Configuration,{directory.controller.base_dn}"
    if directory.search(schema, f"(lDAPDisplayName={next(iter(ATTRIBUTES))})", "cn"):
        return
    for number, (name, (common_name, (syntax, kind))) in enumerate(ATTRIBUTES.items(), start=1):
        directory.do(
            "add",
            f"CN={common_name},{schema}",
            attributes={
                "objectClass": [b"attributeSchema"],
                "lDAPDisplayName": name,
                "attributeID": f"{_ARC}.{number}",
                "attributeSyntax": syntax,
                "oMSyntax": kind,
                "isSingleValued": "TRUE",
                "isMemberOfPartialAttributeSet": "TRUE",
            },
        )
    _reload(directory)
    directory.do("modify", f"CN=Mail-Recipient,{schema}", {"mayContain": [(ldap3.MODIFY_ADD, list(ATTRIBUTES))]})
    _reload(directory)


def _reload(directory: Directory) -> None:
    directory.do("modify", "", {"schemaUpdateNow": [(ldap3.MODIFY_REPLACE, ["1"])]})
