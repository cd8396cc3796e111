"""What does a night cost beside what people run today? `scripts/bench` measures both on the same emulator."""
