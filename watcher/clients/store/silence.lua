-- Puts a silence in force, or another in its place; a repeat of the same one changes nothing.
-- Answers 0, and does nothing, if there are too many. ARGV: now, id, silence, its end, for how long
-- one is kept after its end, how many are kept, subject to mark, job of the audit entry or empty,
-- audit entry.

local ends, all = P .. 'silence-ends', P .. 'silences'
for _, id in ipairs(redis.call('ZRANGE', ends, '-inf', now - tonumber(ARGV[5]), 'BYSCORE')) do
  redis.call('HDEL', all, id)
  redis.call('ZREM', ends, id)
end
local known = redis.call('HGET', all, ARGV[2])
if known == ARGV[3] then return 1 end
if not known and redis.call('HLEN', all) >= tonumber(ARGV[6]) then return 0 end
redis.call('HSET', all, ARGV[2], ARGV[3])
redis.call('ZADD', ends, ARGV[4], ARGV[2])
note(ARGV[8], ARGV[9])
mark(ARGV[7])
ring()
return 1
