"""The lab: measuring what strategies and settings do."""
