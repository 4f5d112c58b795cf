"""What happens to an event: routes, each a filter and its actions."""
