"""The durable log of the supervisor. To it a record is one msgpack list; what records mean is the core's business.

``journal.py`` is what the driver uses; ``recovery.py`` reads everything back at start; ``compact.py`` shortens it;
``fsck.py`` checks and repairs it. ``frames.py`` holds the format, ``disk.py`` every call to the operating system.
"""
