"""Built-in layers taken out of numbacnn and installed as a plugin: what they must equal, in time and in every bit, is where they come from."""
