-- What a person sees move about a job. ARGV: now, job, progress, for how long it is kept in s.

-- When it was looked at is no news.
local function timeless(said) return (string.gsub(said, '"at":"[^"]*"', '', 1)) end

local key = P .. 'progress:' .. ARGV[2]
local old = redis.call('GET', key)
redis.call('SET', key, ARGV[3], 'EX', ARGV[4])
if not old or timeless(old) ~= timeless(ARGV[3]) then shown() end
return {'ok'}
