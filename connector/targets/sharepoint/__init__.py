"""SharePoint Online as a target: three thumbnails and the profile properties."""
