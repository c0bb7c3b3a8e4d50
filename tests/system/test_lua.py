# SPDX-License-Identifier: MIT
"""The transform `lua`: values there and back, what a script must not do, its limits, and the same result whoever dies."""
import json

import pytest

from conftest import finish, kill_some


def pipeline(options, source='source = "file"; path = "in.ndjson";', save='sink = "file"; path = "out.ndjson";'):
    return f"""stages = {{
      read = {{ {source} }};
      work = {{ transform = "lua"; from = "read"; {options} }};
      save = {{ from = "work"; {save} }};
    }};"""


def run(place, script, records, status=0, options=""):
    place.write("in.ndjson", "".join((record if isinstance(record, str) else json.dumps(record)) + "\n" for record in records))
    place.write("s.lua", script)
    _, err = place.run(pipeline(f'path = "s.lua"; {options}'), status=status)
    return (place.path / "out.ndjson").read_text().splitlines() if status in (0, 3) else err


def reasons(place):
    code, out, err = place.sluice("dead", "export", "p.conf")
    assert code == 0, err
    return [json.loads(line)["reason"] for line in out.splitlines()]


def make(body):
    return f"function transform(r)\n{body}\nend"


def test_values_go_through_as_they_are(place):
    """Order of the fields, integers and floats, null, empty arrays and maps, nesting, a name that is a number."""
    lines = ['{"z":1,"a":1.0,"m":-9223372036854775808,"t":true,"n":null,"e":[],"o":{},"l":[null,[],{},[{"y":1,"b":null}]],"s":"a\\u0000\\"Zürich","1":2}',
             '[1,"2",null]', "7", '"text"', "null", "18446744073709551615", "{}", '{"big":18446744073709551615,"f":1e+300}']
    expected = lines[:1] + ["1", '"2"', "null"] + lines[2:]
    assert run(place, make("return r"), lines) == expected


def test_new_fields_come_behind_by_name(place):
    script = make("r.b = nil; r.z1 = 1; r.a1 = { x = 1, k = { 1, 2 }, e = {}, ar = array({}), [10] = 'ten' }; r.c = 2.0; return r")
    expected = '{"c":2.0,"a":1,"a1":{"10":"ten","ar":[],"e":{},"k":[1,2],"x":1},"z1":1}'
    # JSON has no names that are numbers.
    assert run(place, script.replace("[10] = 'ten'", "['10'] = 'ten'"), [{"c": 0, "b": 1, "a": 1}] * 3) == [expected] * 3


def test_none_one_several(place):
    script = make("""
      if r.n == 0 then return nil end
      if r.n == 1 then return {} end
      if r.n == 2 then return { { n = 2, i = 1 }, 5, map({}) } end
      if r.n == 3 then return r.list end
      return map({ 1, 2 }) ~= nil and { a = null == r.nothing, b = r.none == nil }""")
    records = [{"n": 0}, {"n": 1}, {"n": 2}, {"n": 3, "list": [{"x": 1}, None]}, {"n": 4, "nothing": None}]
    assert run(place, script, records) == ['{"i":1,"n":2}', "5", "{}", '{"x":1}', "null", '{"a":true,"b":true}']


def test_integers_are_no_floats(place):
    script = make("return { div = r.a // 2, half = r.a / 2, up = r.a + 1, f = r.f + 1, kind = math.type(r.f), wrap = math.maxinteger + 1 }")
    assert run(place, script, ['{"a":8,"f":2.0}']) == ['{"div":4,"f":3.0,"half":4.0,"kind":"float","up":9,"wrap":-9223372036854775808}']


def test_binary(place):
    script = make("r.n = #tostring(r.raw); r.new = binary('\\0\\255'); return r")
    place.write("s.lua", script)
    place.write("in.msgpack", "")
    (place.path / "in.msgpack").write_bytes(b"\x82\xa3raw\xc4\x03\xff\x00a\xa3big\xcf" + b"\xff" * 8)
    place.run(pipeline('path = "s.lua";', 'source = "file"; path = "in.msgpack";', 'sink = "file"; path = "out.msgpack";'))
    assert (place.path / "out.msgpack").read_bytes() in (
        b"\x84\xa3raw\xc4\x03\xff\x00a\xa3big\xcf" + b"\xff" * 8 + b"\xa1n\x03\xa3new\xc6\x00\x00\x00\x02\x00\xff",
        b"\x84\xa3raw\xc4\x03\xff\x00a\xa3big\xcf" + b"\xff" * 8 + b"\xa1n\x03\xa3new\xc4\x02\x00\xff")


def test_pairs_has_an_order(place):
    script = make("r.n2 = 1; r.n1 = 1; r.b = nil; local s = ''; for k, v in pairs(r) do s = s .. k .. tostring(v) end; for i, v in ipairs({ 5, 6 }) do s = s .. v end; return s")
    assert run(place, script, ['{"z":1,"b":2,"a":3}'] * 5) == ['"z1a3n11n2156"'] * 5


@pytest.mark.parametrize("body, reason", [
    ("local x\nreturn x.y", "s.lua:3: attempt to index a nil value (local 'x')"),
    ("error('not ' .. r.n)", "s.lua:2: not 1"),
    ("error({})", "the script raised an error that is no text"),
    ("while true do end", "s.lua:2: it ran for more than 10000 instructions (instructions_max)"),
    ("while true do pcall(function() while true do end end) end", "it ran for more than 10000 instructions"),
    ("local s = 'x'\nfor i = 1, 40 do s = s .. s end", "the script wants more memory than `heap_max`"),
    ("return { f = print or transform }", "a function is no value of a record"),
    ("local t = {}; t.t = t; return t", "a value is nested more than 60 deep, or holds itself"),
    ("local t = array({ 1 }); t[3] = 1; return { t = t }", "an array has holes"),
    ("return { [true] = 1 }", "a field's name is a boolean"),
    ("setmetatable({}, { __gc = function() end })", "a metatable cannot have __gc here"),
    ("return setmetatable({}, { __index = r }), string.rep('x', 1 << 40)", "s.lua:2: resulting string too large"),
])
def test_errors_are_dead_letters(place, body, reason):
    script = f"function transform(r) if r.n ~= 1 then return r end\n{body}\nend"
    limits = 'instructions_max = 10000; heap_max = "1MiB";'
    assert run(place, script, [{"n": 0}, {"n": 1}, {"n": 2}], 3, limits) == ['{"n":0}', '{"n":2}']
    assert len(reasons(place)) == 1 and reason in reasons(place)[0], reasons(place)


def test_what_is_not_there(place):
    script = make("""
      local found = {}
      for _, name in ipairs({ "os", "io", "package", "debug", "require", "load", "loadfile", "loadstring", "dofile", "print", "collectgarbage", "coroutine", "warn" }) do
        if _G[name] then found[#found + 1] = name end
      end
      if string.dump then found[#found + 1] = "string.dump" end
      return { found = array(found), math = math.randomseed == nil }""")
    assert run(place, script, [{}]) == ['{"found":[],"math":true}']


@pytest.mark.parametrize("options, reason", [
    ("", "write either `script` or `path`"),
    ('script = "x = 1"; path = "s.lua";', "write either `script` or `path`"),
    ('script = "x = 1";', "the script has no function transform(record)"),
    ('script = "function transform(";', "script:1: <name> or '...' expected near <eof>"),
    ('path = "none.lua";', "cannot read the script none.lua: No such file"),
    ('path = "b.luac";', "attempt to load a binary chunk"),
    ('script = "while true do end";', "it ran for more than 10000000 instructions"),
])
def test_a_script_that_cannot_work_is_refused(place, options, reason):
    place.write("s.lua", make("return r"))
    (place.path / "b.luac").write_bytes(b"\x1bLua\x54\0")
    place.write("p.conf", pipeline(options))
    code, out, err = place.sluice("check", "p.conf")
    assert code == 78 and reason in out + err, out + err


def test_a_script_may_be_a_function(place):
    assert run(place, "local n = 0\nreturn function(r) return { v = string.upper(r.v), at = utf8.len(r.v) } end", [{"v": "zürich"}]) == [
        '{"at":6,"v":"ZüRICH"}']


def test_each_once_whoever_dies(place):
    """Numbers at random, new fields, several records for one: each record comes once, in order."""
    script = make("local t = { x = math.random(1 << 40), n = r.n }; t['f' .. r.n % 7] = math.random(); t.a = {}; return { t, { n = -r.n } }")
    place.write("s.lua", script)
    place.write("in.ndjson", "".join(f'{{"n":{n}}}\n' for n in range(1, 20001)))
    place.write("p.conf", pipeline('path = "s.lua"; processes = 2; restart = 1000000; restart_within = "100ms"; backoff = "2ms";',
                                   'source = "file"; path = "in.ndjson"; rate = "15000/s";'))
    process = place.start("run", "p.conf")
    kills = kill_some(process, {"work"}, 20, 7)
    code, _, err = finish(process, 120)
    assert code == 0 and "leak" not in err, err
    assert kills > 5
    records = [json.loads(line) for line in (place.path / "out.ndjson").read_text().splitlines()]
    assert [record["n"] for record in records] == [n * sign for n in range(1, 20001) for sign in (1, -1)]
    assert len({record["x"] for record in records if record["n"] > 0}) > 19990
