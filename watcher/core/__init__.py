"""Facts, decisions and the life of jobs. No I/O, no clock, no logging: values in, values out."""
