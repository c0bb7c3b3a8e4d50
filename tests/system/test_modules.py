# SPDX-License-Identifier: MIT
"""Stages out of tree: the examples, built through pkg-config by the commands of doc/writing-a-stage.md; and modules that are not good."""
import http.server
import json
import re
import shutil
import subprocess
import threading

import pytest

from conftest import BUILD, ROOT, wait_for

EXAMPLES = ROOT / "examples"
DOCUMENT = ROOT / "doc/writing-a-stage.md"
EX_CONFIG = 78

PIPELINE = """
stages = {
  read = { source = "sequence"; count = 10; };
  work = { transform = "%s"; from = "read"; };
  save = { sink = "null"; from = "work"; };
};
"""

STAGE = """
#include <sluice/stage.h>
static int pass(struct sl_context *ctx, void *shared, void *worker, struct sl_value record, struct sl_writer *const *out)
{
	(void)ctx, (void)shared, (void)worker;
	sl_put_value(out[0], record);
	return sl_record_done(out[0]);
}
static const struct sl_stage stage = {
	.abi = SL_ABI, .name = "%s", .role = SL_TRANSFORM, .summary = "a test", .flags = SL_RESUMES, .transform = pass, %s
};
SL_MODULE(&stage);
"""


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def shop(place):
    """A place where `sluice` and pkg-config find the build folder, as the document says."""
    place.env.update(PATH=f"{BUILD}:{place.env['PATH']}", PKG_CONFIG_PATH=str(BUILD))
    return place


def shell(place, folder, script, status=0):
    done = subprocess.run(["sh", "-e", "-c", script], cwd=folder, env=place.env, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == status, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout, done.stderr


def take(place, name):
    """A copy of an example, built."""
    folder = place.path / name
    shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("*.so", "out.ndjson"))
    shell(place, folder, "make")
    place.env["SLUICE_STAGE_PATH"] = str(folder)
    return folder


def compile_module(place, name, text, flags=""):
    """A module in the folder m of the place; its path."""
    folder = place.path / "m"
    folder.mkdir(exist_ok=True)
    place.write(f"{name}.c", text)
    shell(place, place.path, f"cc -std=gnu17 -fPIC -shared {flags} $(pkg-config --cflags sluice) -o m/{name}.so {name}.c")
    place.env["SLUICE_STAGE_PATH"] = str(folder)
    return folder / f"{name}.so"


def check(place, stage):
    place.write("p.conf", PIPELINE % stage)
    code, _, err = place.sluice("check", "p.conf")
    return code, err


# --- the document ---------------------------------------------------------------------------------------


def test_the_document_shows_the_examples():
    upper = (EXAMPLES / "stage-upper/upper.c").read_text()
    lookup = (EXAMPLES / "stage-ask/ask.c").read_text()
    of_upper = [block for block in blocks("c") if block in upper]
    assert "".join(of_upper).replace("\n", "") == upper.replace("\n", "")
    of_lookup = [block for block in blocks("c") if block not in of_upper]
    assert len(of_lookup) >= 3 and all(block in lookup for block in of_lookup)
    assert blocks("make") == [(EXAMPLES / "stage-upper/Makefile").read_text()]
    assert blocks("conf") == [(EXAMPLES / "stage-upper/pipeline.conf").read_text()]
    assert blocks("json") == [(EXAMPLES / "stage-upper/people.ndjson").read_text()]


def test_the_commands_of_the_document(shop):
    folder = shop.path / "stage-upper"
    shutil.copytree(EXAMPLES / "stage-upper", folder, ignore=shutil.ignore_patterns("*.so", "out.ndjson"))
    out, err = shell(shop, folder, "".join(blocks("sh")))
    assert re.search("^  upper +writes chosen fields in upper case$", out, re.MULTILINE)
    assert 'fields: strings, required\n      the fields to write in upper case\n      fields = [ "name" ];\n' in out
    assert "pipeline.conf: ok: pipeline `pipeline`, 3 stages, 3 processes" in out
    assert (EXAMPLES / "stage-upper/expected.ndjson").read_text() in out
    assert 'a chosen field is no string: {"name":"Grace Hopper","city":null,"born":1906}' in err
    assert "7 fields written in upper case" in err  # of the refused record the name was


def test_pkg_config(shop):
    abi = re.search(r"^#define SL_ABI (\d+)$", (ROOT / "include/sluice/stage.h").read_text(), re.MULTILINE)[1]
    out, _ = shell(shop, shop.path, "pkg-config --variable=abi sluice; pkg-config --variable=stagedir sluice")
    assert out.split() == [abi, re.search(r"^libdir = (\S+)$", (BUILD / "Makefile").read_text(), re.MULTILINE)[1]
                           .replace("${exec_prefix}", prefix()) + "/sluice/stages"]


def prefix():
    return re.search(r"^prefix = (\S+)$", (BUILD / "Makefile").read_text(), re.MULTILINE)[1]


def test_installed(shop):
    """`make install` below DESTDIR: the headers there build a module, `make install` of which lands in the stage folder."""
    root = shop.path / "root"
    shell(shop, BUILD, f"make -s install-pkgconfigDATA install-sluiceincludeHEADERS DESTDIR={root}")
    shop.env.pop("PKG_CONFIG_PATH")
    found = list(root.rglob("sluice.pc"))
    assert len(found) == 1
    shop.env.update(PKG_CONFIG_LIBDIR=str(found[0].parent), PKG_CONFIG_SYSROOT_DIR=str(root))
    out, _ = shell(shop, shop.path, "pkg-config --cflags sluice")
    assert out.strip() == f"-I{root}{prefix()}/include"
    folder = take(shop, "stage-upper")
    shell(shop, folder, f"make install DESTDIR={shop.path}/other")
    module = list((shop.path / "other").rglob("upper.so"))
    assert len(module) == 1 and str(module[0]).endswith("/sluice/stages/upper.so")
    shop.env["SLUICE_STAGE_PATH"] = str(module[0].parent)
    assert "  upper " in shop.sluice("list")[1]


# --- a good module --------------------------------------------------------------------------------------


def test_processes_and_threads(shop):
    take(shop, "stage-upper")
    with open(shop.path / "in.ndjson", "w") as file:
        for i in range(20000):
            file.write(json.dumps({"id": i, "name": f"name {i}"}) + "\n")
    shop.run("""stages = {
      read = { source = "file"; path = "in.ndjson"; };
      loud = { transform = "upper"; from = "read"; fields = "name"; first_only = true; processes = 2; threads = 2; };
      save = { sink = "file"; from = "loud"; path = "out.ndjson"; };
    };""")
    assert [json.loads(line) for line in open(shop.path / "out.ndjson")] == [{"id": i, "name": f"Name {i}"} for i in range(20000)]


def test_processes_run_what_was_checked(shop):
    """A relative path, seen from another folder than the module's: the graph says where the module is."""
    take(shop, "stage-upper")
    shop.env["SLUICE_STAGE_PATH"] = ":stage-upper::stage-upper/../stage-upper:"
    shop.write("in.ndjson", '{"name":"x"}\n')
    _, err = shop.run("""stages = {
      read = { source = "file"; path = "in.ndjson"; };
      loud = { transform = "upper"; from = "read"; fields = "name"; };
      save = { sink = "file"; from = "loud"; path = "out.ndjson"; };
    };""")
    assert (shop.path / "out.ndjson").read_text() == '{"name":"X"}\n'
    assert "warning" not in err


def test_options_of_a_module_are_checked(shop):
    folder = take(shop, "stage-upper")
    config = (folder / "pipeline.conf").read_text()
    shop.write("p.conf", config.replace("fields", "feilds"))
    code, _, err = shop.sluice("check", "p.conf")
    assert (code, err) == (EX_CONFIG, "p.conf:3: the transform `upper` has no option `feilds`: write `fields`\n1 error\n")
    shop.write("p.conf", config.replace('fields = [ "name", "city" ]', "fields = [ ]"))
    code, _, err = shop.sluice("check", "p.conf")
    assert (code, err) == (EX_CONFIG, "p.conf:3: `fields` is empty: name at least one field\n1 error\n")
    shop.write("p.conf", config.replace('"upper"', '"uper"'))
    code, _, err = shop.sluice("check", "p.conf")
    assert code == EX_CONFIG and 'p.conf:3: there is no transform `uper`: write transform = "upper";' in err


def test_the_reference_has_modules_when_asked(shop):
    take(shop, "stage-upper")
    assert '\\(dqupper\\(dq' in shop.sluice("--reference", program="sluice-stage")[1]
    assert '\\(dqupper\\(dq' not in shop.sluice("--reference", "--built-in", program="sluice-stage")[1]


def exports(name):
    symbols = subprocess.run(["nm", "-D", "--defined-only", BUILD / "sluice-stage"], capture_output=True, text=True, check=True).stdout
    return re.search(rf" {name}$", symbols, re.MULTILINE) is not None


class Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def test_lookup(shop):
    folder = take(shop, "stage-ask")
    if not exports("sl_http"):
        pytest.skip("this sluice-stage has no sl_http yet")
    shutil.copytree(EXAMPLES / "stage-upper", shop.path / "stage-upper")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: Files(*a, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    shop.env.update(PORT=str(server.server_port), no_proxy="127.0.0.1")
    _, err = shell(shop, folder, "sluice run pipeline.conf", status=3)
    server.shutdown()
    about = {record["name"]: record["about"]["country"] for record in map(json.loads, open(folder / "out.ndjson"))}
    assert about == {"Ada Lovelace": "GB", "Émilie du Châtelet": "FR"}
    assert "HTTP status 404" in err and "no string in `city`" in err


# --- no good module -------------------------------------------------------------------------------------


def test_missing_module(shop):
    code, err = check(shop, "upper")
    assert code == EX_CONFIG
    assert err == ("p.conf:4: there is no transform `upper`: `sluice list` shows those there are; if a module has it, set "
                   "SLUICE_STAGE_PATH to the module's folder\n1 error\n")
    code, _, err = shop.sluice("run", "p.conf")
    assert code == EX_CONFIG and "set SLUICE_STAGE_PATH to" in err
    code, _, err = shop.sluice("describe", "upper")
    assert code == 2 and "set SLUICE_STAGE_PATH to" in err


def test_another_abi(shop):
    path = compile_module(shop, "libupper", (STAGE % ("upper", "")).replace("SL_ABI", "SL_ABI + 1"))
    abi = int(re.search(r"^#define SL_ABI (\d+)$", (ROOT / "include/sluice/stage.h").read_text(), re.MULTILINE)[1])
    reason = f"built for stage ABI {abi + 1}, this sluice has {abi}: build it again with its headers"
    code, err = check(shop, "upper")
    assert code == EX_CONFIG
    assert err == f"{path}: warning: refused: {reason}\np.conf:4: there is no transform `upper`: {path} is refused: {reason}\n1 error\n"
    assert shop.sluice("describe", "upper")[2].endswith(f'no stage "upper": {path} is refused: {reason}\n')
    _, err = shop.run(PIPELINE.replace('"%s"', '"delay"; wait = "0s"'))
    assert f"{path}: warning: refused: {reason}\n" in err


@pytest.mark.parametrize("text, reason", [
    ("int x;", "it has no `sl_module`: end it with SL_MODULE(&your_stage); or move it elsewhere"),
    ("#include <stddef.h>\nconst void *const sl_module[] = { NULL };", "its `sl_module` is empty"),
    ("void sl_not_there(void);\nvoid f(void) { sl_not_there(); }", "undefined symbol: sl_not_there: this sluice is not the one whose headers "
     "it was built with"),
    (STAGE % ("upper", ".transform_batch = (void *)pass"), "stage `upper`: its transform and transform_batch are both set: it can have one"),
    (STAGE % ("upper", ".ports = (const char *const[]){ \"a b\", NULL }"), "stage `upper`: its port `a b` has a name that no config can write: "
     "lower-case letters, digits, - and _"),
], ids=["no table", "empty table", "unknown function", "two transforms", "port"])
def test_refused_module(shop, text, reason):
    path = compile_module(shop, "upper", text)
    code, err = check(shop, "upper")
    assert code == EX_CONFIG
    assert f"{path}: warning: refused: {reason}\n" in err
    assert f"p.conf:4: there is no transform `upper`: {path} is refused: {reason}\n" in err
    shop.run(PIPELINE.replace('"%s"', '"delay"; wait = "0s"'))


def test_no_shared_object(shop):
    (shop.path / "m").mkdir()
    (shop.path / "m/upper.so").write_text("no module\n")
    (shop.path / "m/upper.txt").write_text("not looked at\n")
    shop.env["SLUICE_STAGE_PATH"] = f"{shop.path}/nowhere:{shop.path}/m"
    code, out, err = shop.sluice("list")
    assert code == 0 and "sequence" in out
    assert err == (f"SLUICE_STAGE_PATH: warning: cannot read the folder {shop.path}/nowhere: No such file or directory\n"
                   f"{shop.path}/m/upper.so: warning: refused: file too short\n")


def test_names_that_are_taken(shop):
    compile_module(shop, "a", STAGE % ("upper", ""))
    compile_module(shop, "b", STAGE % ("upper", ""))
    path = compile_module(shop, "c", STAGE % ("sql", ""))
    code, out, err = shop.sluice("list")
    assert out.count("  upper ") == 1 and out.count("  sql ") == 1
    assert err == (f"{path.parent}/b.so: warning: its transform `upper` is not used: there is one in {path.parent}/a.so, and the first of "
                   "a name is taken\n"
                   f"{path}: warning: its transform `sql` is not used: there is a built-in one of that name, and the first of a name is taken\n")
    shop.run(PIPELINE % "upper")


def test_a_module_that_goes_away(shop):
    """Between the check and the start of a process: refused with the reason, and the run ends."""
    path = compile_module(shop, "upper", STAGE % ("upper", ""))
    gone = compile_module(shop, "z", '#include <unistd.h>\n__attribute__((constructor)) static void f(void) { (void)!unlink("%s"); }' % path)
    shop.write("p.conf", PIPELINE % "upper")
    code, _, err = shop.sluice("run", "p.conf")
    assert code == 1 and f'cannot take the stage "upper" from the module {path}: cannot open shared object file' in err, err
    assert gone.exists()


SINK = """
#include <sluice/stage.h>
static int64_t take(struct sl_context *ctx, void *shared, void *worker, const struct sl_batch *in)
{
	(void)ctx, (void)shared, (void)worker;
	return sl_batch_count(in);
}
static int make_last(struct sl_context *ctx, const void *shared)
{
	(void)ctx, (void)shared;
	return 0;
}
static const struct sl_stage stage = {
	.abi = SL_ABI, .name = "taker", .role = SL_SINK, .summary = "a test", .flags = SL_RESUMES, .write = take, .sync = make_last,
};
SL_MODULE(&stage);
"""


def test_no_point_without_the_code_of_a_sink(shop):
    """What a sink that cannot be asked has written is not taken to be on the disk."""
    path = compile_module(shop, "taker", SINK)
    shop.write("in.ndjson", "".join(f'{{"n":{n}}}\n' for n in range(2000)))
    shop.write("p.conf", """sync_interval = "50ms"; stages = { read = { source = "file"; path = "in.ndjson"; rate = "500/s"; };
                            save = { sink = "taker"; from = "read"; }; };""")
    process = shop.start("run", "p.conf")
    point = shop.path / "s/sluice/p/point"
    wait_for(lambda: process.poll() is not None or point.exists(), what="a point")
    path.unlink()
    _, err = process.communicate(timeout=30)
    assert "what is written is not safe from a power cut: cannot take the stage \"taker\"" in err, err
