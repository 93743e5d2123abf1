-- Milliseconds until something becomes due; -1 if nothing will. ARGV: now, kinds.

local first
for i = 2, #ARGV do
  local got = redis.call('ZRANGE', due_key(ARGV[i]), 0, 0, 'WITHSCORES')
  if got[1] and (not first or tonumber(got[2]) < first) then first = tonumber(got[2]) end
end
if not first then return -1 end
return math.max(0, first - now)
