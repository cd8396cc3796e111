"""Tell what Kerberos complains about: by the number of MIT krb5 where there is one, else by its English text."""

from __future__ import annotations

from connector.sources.words import ErrorText

_TEXTS: tuple[tuple[str, ErrorText], ...] = (
    ("No Kerberos credentials", ErrorText("there is no ticket", "Set KRB5_CLIENT_KTNAME to a keytab, or run kinit.")),
    ("No credentials", ErrorText("there is no ticket", "Set KRB5_CLIENT_KTNAME to a keytab, or run kinit.")),
    ("can't find client principal", ErrorText("no ticket is for LDAP_USER", "Leave LDAP_USER empty, or correct it.")),
    (
        "not found in Kerberos database",
        ErrorText("it has no service principal", "Use the full host name of a DC in LDAP_URI."),
    ),
    ("Clock skew", ErrorText("the clocks differ too much", "Set this machine's clock by the domain's.")),
    ("expired", ErrorText("the ticket has expired", "Renew it, or set KRB5_CLIENT_KTNAME to a keytab.")),
    ("Cannot contact any KDC", ErrorText("no KDC answers", "Check krb5.conf, DNS and the firewall (port 88).")),
)

# krb5_err.et: minor codes count from -1765328384; gssapi-python gives them without a sign.
_FIRST = -1765328384
_NUMBERS = {
    7: "not found in Kerberos database",  # KRB5KDC_ERR_S_PRINCIPAL_UNKNOWN
    32: "expired",  # KRB5KRB_AP_ERR_TKT_EXPIRED
    37: "Clock skew",  # KRB5KRB_AP_ERR_SKEW
    141: "No credentials",  # KRB5_CC_NOTFOUND
    156: "Cannot contact any KDC",  # KRB5_KDC_UNREACH
    195: "No credentials",  # KRB5_FCC_NOFILE
}
_NO_CREDENTIAL, _EXPIRED = 7 << 16, 11 << 16  # GSS_S_NO_CRED, GSS_S_CREDENTIALS_EXPIRED (RFC 2744, section 3.9.1)


def kerberos_words(error: BaseException) -> ErrorText | None:
    """Return the meaning of an error of gssapi or winkerberos; None where it is not known."""
    by_number = _by_text(_mark(error))
    return by_number or _by_text(" ".join(str(error).split()))


def _mark(error: BaseException) -> str:
    minor, major = getattr(error, "min_code", None), getattr(error, "maj_code", None)
    if isinstance(minor, int):
        number = (minor & 0xFFFFFFFF) - (_FIRST & 0xFFFFFFFF)
        if number in _NUMBERS:
            return _NUMBERS[number]
    return {_NO_CREDENTIAL: "No credentials", _EXPIRED: "expired"}.get(major, "") if isinstance(major, int) else ""


def _by_text(text: str) -> ErrorText | None:
    lower = text.casefold()
    return next((words for mark, words in _TEXTS if mark.casefold() in lower), None) if lower else None
