-- Milliseconds until something becomes due that was not due at ARGV[2]; -1 if nothing will.
-- ARGV: now, when the caller looked last, kinds.

local first
for i = 3, #ARGV do
  local got = redis.call(
    'ZRANGE', due_key(ARGV[i]), '(' .. ARGV[2], '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES'
  )
  if got[1] and (not first or tonumber(got[2]) < first) then first = tonumber(got[2]) end
end
if not first then return -1 end
return math.max(0, first - now)
