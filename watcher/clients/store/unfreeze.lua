-- Lifts the freeze of exactly this scope. ARGV: now, scope, subject to mark,
-- job of the audit entry or empty, audit entry.

if redis.call('HDEL', P .. 'freezes', ARGV[2]) == 0 then return 0 end
note(ARGV[4], ARGV[5])
mark(ARGV[3])
ring()
return 1
