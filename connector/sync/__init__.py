"""What is a night? Read, match, compare, plan, check the brakes, write, remember, report."""
