"""How do we talk to Microsoft? Through one transport that signs in, waits when told to, and puts errors into words."""
