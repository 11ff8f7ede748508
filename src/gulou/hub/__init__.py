"""The data hub: what is known. ``context`` is what is true now, ``history`` what was, ``rules`` what it means."""
