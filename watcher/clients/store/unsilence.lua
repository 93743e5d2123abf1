-- Lifts one silence; 0, and no trace, if there is none, or its end is too long ago. ARGV: now, id,
-- for how long one is kept after its end, subject to mark, job of the audit entry or empty, audit
-- entry.

local ends, all = P .. 'silence-ends', P .. 'silences'
local over = redis.call('ZSCORE', ends, ARGV[2])
if over and tonumber(over) <= now - tonumber(ARGV[3]) then return 0 end
if redis.call('HDEL', all, ARGV[2]) == 0 then return 0 end
redis.call('ZREM', ends, ARGV[2])
note(ARGV[5], ARGV[6])
mark(ARGV[4])
ring()
return 1
