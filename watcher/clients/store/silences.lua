-- All silences but those that ended too long ago, which the next one to be ordered drops. ARGV: now,
-- for how long one is kept after its end.

local kept = redis.call(
  'ZRANGE', P .. 'silence-ends', '(' .. (now - tonumber(ARGV[2])), '+inf', 'BYSCORE'
)
if #kept == 0 then return {} end
local found = {}
for _, silence in ipairs(redis.call('HMGET', P .. 'silences', unpack(kept))) do
  if silence then found[#found + 1] = silence end
end
return found
