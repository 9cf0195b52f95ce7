"""WhatsApp: what Meta says becomes messages, and our messages become what Meta understands."""
