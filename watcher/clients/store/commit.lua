-- All changes or none: everything is checked before the first write.
-- ARGV: now, number of changes, number of audit entries, 2 per change, 2 per entry.

local changes, leaving, wanted = {}, {}, {}
local at = 4
for i = 1, tonumber(ARGV[2]) do
  -- id, k, expected, fence, due, keep, e, key, owns, b, pool, created, changed; '' for none.
  local c = cjson.decode(ARGV[at])
  c.record = ARGV[at + 1]
  at = at + 2
  c.old = load(c.id)
  if c.fence ~= '' and not holds(c.old, c.fence) then return {'lost', c.id} end
  local version = c.old and c.old.v or 0
  if version ~= c.expected then return {'conflict', c.id, version} end
  if c.owns == '' then leaving[c.id] = true end
  changes[i] = c
end

for _, c in ipairs(changes) do
  c.owner = redis.call('HGET', P .. 'owner', c.key)
  if c.owns ~= '' then
    if wanted[c.key] then return {'taken', c.key, wanted[c.key]} end
    wanted[c.key] = c.id
    local other = c.owner and c.owner ~= c.id and not leaving[c.owner]
    -- A build that is ready keeps its key until somebody builds the same again.
    if other and redis.call('HGET', job_key(c.owner), 'e') ~= '1' then
      return {'taken', c.key, c.owner}
    end
  end
end

-- Where the job stands in the queue afterwards: the end of the lease, and what was asked for.
local function requeue(c)
  local old = c.old
  if c.keep ~= '' then return old.u, old.n end
  if old and c.fence == '' and leased(old) then
    -- Somebody works on it: two workers at once must not be, nor may this be forgotten.
    if c.due == '' then
      redis.call('ZREM', due_key(c.k), c.id)
      return old.u, '-'
    end
    redis.call('ZADD', due_key(c.k), old.u, c.id)
    return old.u, earlier(now + c.due, old.n)
  end
  if c.due == '' then
    redis.call('ZREM', due_key(c.k), c.id)
  elseif not (old and old.x) then
    local asked = old and leased(old) and old.n or ''
    enqueue(c, earlier(now + c.due, asked))
  end
  return 0, ''
end

local function index(c)
  local old = c.old
  if not old or old.e ~= c.e then
    local to, from, score = 'active:', 'ended:', c.created
    if c.e == '1' then to, from, score = 'ended:', 'active:', c.changed end
    redis.call('ZREM', P .. from .. c.k, c.id)
    redis.call('ZADD', P .. to .. c.k, score, c.id)
  end
  if not old and c.pool ~= '' then
    redis.call('ZADD', P .. 'pool:' .. c.pool, c.created, c.id)
  end
  if old and old.x and c.e == '1' then
    redis.call('HDEL', job_key(c.id), 'x')
    redis.call('ZREM', P .. 'dead', c.id)
  end
  local before = old and old.e ~= '1' and old.b or ''
  local after = c.e ~= '1' and c.b or ''
  if before ~= after then
    if before ~= '' then redis.call('SREM', P .. 'waiters:' .. before, c.id) end
    if after ~= '' then redis.call('SADD', P .. 'waiters:' .. after, c.id) end
  end
end

-- Keys that are given up go first, so that one commit can hand a key over.
for _, c in ipairs(changes) do
  if c.owns == '' and c.owner == c.id then redis.call('HDEL', P .. 'owner', c.key) end
end
local answer = {'ok'}
for i, c in ipairs(changes) do
  local ends, asked = requeue(c)
  redis.call(
    'HSET', job_key(c.id), 'v', c.expected + 1, 'r', c.record, 'k', c.k, 'e', c.e, 'b', c.b,
    'f', c.old and c.old.f or 0, 'a', 0, 'u', ends, 'n', asked
  )
  index(c)
  if c.k == 'update' then mark(c.id) end
  if c.owns ~= '' and c.owner ~= c.id then redis.call('HSET', P .. 'owner', c.key, c.id) end
  answer[i + 1] = c.expected + 1
end
for _, c in ipairs(changes) do
  if c.k == 'build' and c.e == '1' then
    for _, id in ipairs(redis.call('SMEMBERS', P .. 'waiters:' .. c.id)) do wake(id) end
  end
end
for _ = 1, tonumber(ARGV[3]) do
  note(ARGV[at], ARGV[at + 1])
  at = at + 2
end
shown()
ring()
return answer
