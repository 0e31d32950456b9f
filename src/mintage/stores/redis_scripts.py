"""The steps on one record in Redis. Each is one script that touches one key.

A script may be sent twice if its first answer got lost. Then it finds its own version in place, and
has nothing left to do. If the server's ACL forbids the notice, the write still happens.

The fields of a record: ``v`` its version, ``r`` the record, ``h`` its head, ``e`` when it
expires; if it is listed, ``s`` its summary and ``n`` its names, to remove them by.
"""

from typing import Final

# KEYS[1] the record; ARGV: now, version, record, head, expires_at, linger, summary, names
INSERT: Final = """
local seen = redis.call('HMGET', KEYS[1], 'v', 'e')
if seen[1] == ARGV[2] then return 1 end
if seen[2] and tonumber(seen[2]) > tonumber(ARGV[1]) then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'v', ARGV[2], 'r', ARGV[3], 'h', ARGV[4], 'e', ARGV[5])
if ARGV[8] ~= '' then redis.call('HSET', KEYS[1], 's', ARGV[7], 'n', ARGV[8]) end
redis.call('EXPIREAT', KEYS[1], ARGV[5] + ARGV[6])
return 1
"""
# KEYS[1] the record; ARGV: now, old version, version, record, head, expires_at, linger,
# summary, names, what becomes of its names, channel, key. It returns what came of it, and the
# names that no longer hold.
REPLACE: Final = """
local seen = redis.call('HMGET', KEYS[1], 'v', 'e', 'n')
if seen[1] == ARGV[3] then return {1, ''} end
if seen[1] ~= ARGV[2] or tonumber(seen[2]) <= tonumber(ARGV[1]) then return {0, ''} end
local former = ''
if ARGV[10] == 'same' then
    if seen[3] ~= ARGV[9] then return {2, ''} end
    redis.call('HSET', KEYS[1], 's', ARGV[8],
        'v', ARGV[3], 'r', ARGV[4], 'h', ARGV[5], 'e', ARGV[6])
else
    redis.call('HSET', KEYS[1], 'v', ARGV[3], 'r', ARGV[4], 'h', ARGV[5], 'e', ARGV[6])
end
if ARGV[10] == 'new' then
    if seen[3] and seen[3] ~= ARGV[9] then former = seen[3] end
    redis.call('HDEL', KEYS[1], 's', 'n')
    if ARGV[9] ~= '' then redis.call('HSET', KEYS[1], 's', ARGV[8], 'n', ARGV[9]) end
end
redis.call('EXPIREAT', KEYS[1], ARGV[6] + ARGV[7])
redis.pcall('PUBLISH', ARGV[11], ARGV[12])
return {1, former}
"""
# What becomes of a record's names: nothing; they must be as they are, and its summary changes; they
# are replaced. And what came of it: the record has changed meanwhile, it was written, or its names
# are others and must be listed first.
UNTOUCHED, SAME, NEW = "untouched", "same", "new"
STALE, WRITTEN = 0, 1
# KEYS[1] the record; ARGV: channel, key. It returns the names that the record had.
DELETE: Final = """
local names = redis.call('HGET', KEYS[1], 'n') or ''
if redis.call('DEL', KEYS[1]) == 1 then redis.pcall('PUBLISH', ARGV[1], ARGV[2]) end
return names
"""
# KEYS[1] any key of Mintage; ARGV: channel, message. Whether this user may publish there.
MAY_PUBLISH: Final = """
local answer = redis.pcall('PUBLISH', ARGV[1], ARGV[2])
if type(answer) == 'table' and answer.err then return 0 end
return 1
"""
