"""What people can do, declared once: HTTP, command line, chat words and notebook all come from these declarations."""
