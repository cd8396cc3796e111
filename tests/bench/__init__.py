"""The bench: what a run costs beside what people run today; `scripts/bench` measures both on the same emulator."""
