"""A WhatsApp Cloud API that lives on this laptop, with the contacts' phones in the browser. Knows nothing of Baton."""
