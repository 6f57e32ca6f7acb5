"""The media plane and its worker process: RTP rows to mixer rows and back, and the protocol to the switchboard."""
