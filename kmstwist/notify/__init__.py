"""Notifications: that something has happened, once, and that it is over; by mail, chat or webhook, through Apprise."""
