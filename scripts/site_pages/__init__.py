"""Generated pages of the documentation: settings, commands, and the picture of the floors."""
