-- Puts a freeze in force, or another in its place. ARGV: now, scope, freeze, subject to mark,
-- job of the audit entry or empty, audit entry.

redis.call('HSET', P .. 'freezes', ARGV[2], ARGV[3])
note(ARGV[5], ARGV[6])
mark(ARGV[4])
ring()
return 1
