"""Word the notices of a run about another program that writes photos, and about uploads that never appear.

Each has the number of people from which on it is given.
"""

from __future__ import annotations

# More outcomes than this in one run mean that another program writes photos continuously.
MANY_COMPETING = 20
COMPETING_NOTICE = (
    "{count} photos keep being written by another program, most likely Entra Connect from thumbnailPhoto: take "
    "thumbnailPhoto out of its attribute flow, or set the tenant's photo source to cloud."
)

# The detail of a changed photo that the cloud showed already, in full size: nobody but a second server sends such ones.
# Never counted by this text: a run counts them as it decides.
SENT_ELSEWHERE = "The source's new photo was in Microsoft 365 already; this server had not sent it."
MANY_SENT_ELSEWHERE = 3
SENT_ELSEWHERE_NOTICE = (
    "{count} new photos of the source were in Microsoft 365 already, and this server had not sent them: another server "
    "may write, too. Set SYNC_STAGING=true on one of the two. Without a second server, the database is an older copy."
)

NOT_SHOWN_NOTICE = (
    "{count} uploads that Microsoft 365 accepted more than a day ago are not shown by it, and are due again. If that "
    "lasts, `photo-connector check --prove PERSON` shows for one user whether an upload appears."
)
