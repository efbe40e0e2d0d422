/** How a script behaves as a process: streams, exit codes, signals, pipes, help, log. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run, SHAPE } from "./fixtures/run.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-cli-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const BUN = process.execPath;
const BUG = "  this is a bug in ingot; please report it with the output of `bun run doctor`\n";
/** util-linux's `script` gives a process a terminal. */
const noTerminal = process.platform !== "linux" || !Bun.which("script");
/** Runs a shell line on a terminal and gives what the terminal shows, and the exit code. */
function onTerminal(line: string): { code: number; text: string } {
  const child = Bun.spawnSync(["script", "-qec", line, "/dev/null"], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  return { code: child.exitCode, text: child.stdout.toString().replaceAll("\r\n", "\n") };
}

describe("streams", () => {
  test("a text script prints its result on stdout, remarks and the console on stderr", async () => {
    const child = Bun.spawnSync([BUN, SHAPE, "a/", "b/"], { stdin: "ignore" });
    expect(child.stdout.toString()).toBe("models a/ b/\n");
    const [greeting, end, next] = child.stderr.toString().split("\n");
    expect(greeting).toBe("a library greets on the console");
    expect(end).toMatch(/^shape: \d\.\d\d s, peak \d+(\.\d)? MB, nothing much$/);
    expect(next).toBe("  next: bun run shape --help");
  });

  test("a checkpoint on stdout leaves stdout to itself", async () => {
    const child = Bun.spawnSync([BUN, SHAPE, "--act", "bytes", "--json"], { stdin: "ignore" });
    expect([...child.stdout]).toEqual([0, 255, 10]);
    expect(child.stderr.toString()).toContain('people see this\n{"bytes":3}\n');
  });

  test("a checkpoint in a file leaves stdout to text, or with --json to JSON", async () => {
    const target = join(folder, "c.safetensors");
    expect((await run(["--act", "bytes", "-o", target])).out).toBe("people see this\n");
    expect((await run(["--act", "bytes", "--json", "-o", target])).out).toBe('{\n  "bytes": 3\n}\n');
    expect((await run(["--act", "bytes", "--dry-run"])).out).toBe("people see this\n");
  });

  test("-o takes the text of a text script, whole or not at all", async () => {
    const target = join(folder, "text.txt");
    const { out, code } = await run(["m/", "-o", target]);
    expect([code, out, readFileSync(target, "utf8")]).toEqual([0, "", "models m/\n"]);
    const failed = join(folder, "failed.txt");
    await run(["--act", "mistake", "-o", failed]);
    expect(readdirSync(folder).filter((name) => name.startsWith("failed"))).toEqual([]);
    const { err } = await run(["-o", folder]);
    expect(err).toBe(`shape: --out: ${folder} is a folder\n  hint: this script writes one file; name it\n`);
    const below = await run(["-o", join(target, "text.txt")]); // below a file
    expect(below.err).toMatch(/^shape: --out: .* cannot be written \(\w+\)\n {2}hint: choose another place\n$/);
    expect(below.code).toBe(1);
  });

  test.skipIf(process.platform === "win32")("-o writes into a pipe or a device, and through a link", async () => {
    const [pipe, device, link, target] = ["pipe", "device", "link", "linked.txt"].map((name) => join(folder, name));
    Bun.spawnSync(["mkfifo", pipe!]);
    const read = Bun.spawn(["cat", pipe!], { stdout: "pipe" });
    expect((await run(["m/", "-o", pipe!])).code).toBe(0);
    expect(await new Response(read.stdout).text()).toBe("models m/\n");
    writeFileSync(target!, "before");
    symlinkSync(target!, link!);
    expect((await run(["m/", "-o", link!])).code).toBe(0);
    expect([readFileSync(target!, "utf8"), lstatSync(link!).isSymbolicLink()]).toEqual(["models m/\n", true]);
    // A separate node, so that a mistake does not take the machine's.
    if (Bun.spawnSync(["mknod", device!, "c", "1", "7"]).exitCode !== 0) return;
    const full = await run(["m/", "-o", device!]);
    expect([full.code, full.err]).toEqual([1, expect.stringContaining("cannot be written (ENOSPC)")]);
    expect(lstatSync(device!).isCharacterDevice()).toBe(true);
  });

  test.skipIf(noTerminal)("binary is refused on a terminal", () => {
    const { code, text } = onTerminal(`${BUN} ${SHAPE} x --act bytes`);
    expect(text).toContain("shape: the result is binary and stdout is a terminal\n");
    expect(text).toContain("  hint: write it to a file (-o FILE or > FILE), or hand it to a command (| ...)\n");
    expect(text).not.toContain("people see this");
    expect(code).toBe(2);
  });

  test.skipIf(noTerminal)("no arguments on a terminal: a short help", () => {
    const { code, text } = onTerminal(`${BUN} ${SHAPE}`);
    const lines = text.trimEnd().split("\n").slice(1);
    expect(lines[0]).toBe("shape: Shape checkpoints for a test.");
    expect(lines).toContain("  bun run shape a/ -o c/");
    expect(lines.length).toBeLessThanOrEqual(6);
    expect(code).toBe(2);
  });

  test("a reader that leaves early is no failure", async () => {
    const line = `"$BUN" "$SHAPE" --act lines 2>err.txt | head -c 100; echo " \${PIPESTATUS[0]}"`;
    const child = Bun.spawnSync(["bash", "-c", line], { cwd: folder, env: { ...process.env, BUN, SHAPE } });
    expect(child.stdout.toString()).toMatch(/^line 0\nline 1\n[\s\S]{84,} 0\n$/);
    expect(readFileSync(join(folder, "err.txt"), "utf8")).toBe("a library greets on the console\n");
  });
});

describe("exit codes", () => {
  test("a mistake of the user: one line, a hint, the error's own code", async () => {
    expect(await run(["--act", "mistake"])).toEqual({
      code: 1,
      out: "",
      err: "shape: a/ and b/ differ\n  hint: use one of the two\n",
    });
  });

  test("a bug: message, stack, and where to report it", async () => {
    const { code, err } = await run(["--act", "bug"]);
    expect(err).toStartWith("shape: TypeError: a thing was not a thing\n    at ");
    expect(err).toContain("shape.ts:");
    expect(err).toEndWith(BUG);
    expect(code).toBe(1);
  });

  test("an error that nothing awaits ends the work like any bug, cleanups included", async () => {
    const { code, err } = await run(["--act", "forgotten"]);
    expect(err).toStartWith("shape: cleaned up\nshape: TypeError: nobody awaits this\n    at ");
    expect(err).toEndWith(BUG);
    expect(code).toBe(1);
  });

  test.skipIf(!existsSync("/dev/full"))("a full disk is no bug", () => {
    const child = Bun.spawnSync(["bash", "-c", '"$BUN" "$SHAPE" a/ > /dev/full'], {
      env: { ...process.env, BUN, SHAPE },
    });
    const message =
      "shape: no space is left on the disk (ENOSPC)\n  hint: free some space, or write elsewhere with --out\n";
    expect(child.stderr.toString()).toEndWith(message);
    expect(child.exitCode).toBe(1);
    const log = Bun.spawnSync([BUN, SHAPE, "a/", "--log", "/dev/full"], { stdin: "ignore" });
    expect(log.stderr.toString()).toContain("shape: --log: /dev/full cannot be written (ENOSPC)\n");
    expect(log.exitCode).toBe(1);
  });

  test("a library that ends the process does not make it look done", async () => {
    expect(await run(["--act", "quits"])).toEqual({
      code: 1,
      out: "",
      err: `shape: ended before its work was done\n${BUG}`,
    });
  });
});

test.skipIf(noTerminal)("progress is one line, redrawn, and gone when something else is printed and at the end", () => {
  const { text, code } = onTerminal(`${BUN} ${SHAPE} --act progress`);
  const GONE = "\\r\\x1b\\[K";
  const line = (count: number, name: string) => `\\rshape: \\d+%  ${count}/3 tensors  ${name}\\x1b\\[K`;
  expect(text).toMatch(new RegExp(`${line(1, "a")}(${line(1, "b")})?${GONE}shape: halfway\n`));
  expect(text).toMatch(new RegExp(`${line(3, "c")}${GONE}$`));
  expect(code).toBe(0);
  expect(onTerminal(`${BUN} ${SHAPE} --act progress --quiet`).text).toBe("a library greets on the console\n");
});

test("progress is silent off a terminal while the work is short", async () => {
  expect((await run(["--act", "progress"])).err).toBe("shape: halfway\n");
});

describe("help", () => {
  test("shows usage, examples, options, methods and notes, on stdout", async () => {
    const { code, out, err } = await run(["--help", "--nonsense"]);
    expect(out).toStartWith(
      "shape: Shape checkpoints for a test.\n\n  bun run shape [...models] [--method NAME] [options] [-o OUT | > OUT]\n",
    );
    expect(out).toContain("\n  --steps N                 how many (default 10)\n");
    expect(out).toContain("\n  --[no-]normalize          divide by the sum of weights (default true)\n");
    expect(out).toContain("\n  -o, --out OUT             where the result goes; - is stdout (default -)\n");
    expect(out).toContain("\n  average      Adds and divides.\n  task_vector  Adds a scaled task vector.\n");
    expect(out).toEndWith("\n\nNotes come last.\n");
    expect([code, err]).toEqual([0, ""]);
  });

  test("shows the options of a method with its source", async () => {
    const { out } = await run(["-h", "--method", "task-vector"]);
    expect(out).toContain("\nMethod task_vector: Task vector, arXiv:2212.04089\n  Adds a scaled task vector.\n");
    expect(out).toContain("\n  --density N               fraction kept (default 0.5)\n");
    expect(out).toContain(
      "\n  --weight N                share of each model (one, or one per model; default\n                            1)\n",
    );
  });

  test("--list names the methods; with --json their options too", async () => {
    const { out } = await run(["--list"]);
    expect(out).toBe(
      "average      Adds and divides.           arXiv:2203.05482\ntask_vector  Adds a scaled task vector.  arXiv:2212.04089\n",
    );
    const list = JSON.parse((await run(["--list", "--json"])).out);
    expect(list.map(({ name }: { name: string }) => name)).toEqual(["average", "task_vector"]);
    expect(list[1].options.density.default).toBe(0.5);
  });

  test("--version names the script", async () => {
    expect((await run(["--version"])).out).toMatch(/^shape \d+\.\d+\.\d+\n$/);
  });

  test("needs no package but cac: no checker, no YAML, no GPU; nor does a run with plain values", async () => {
    const root = join(import.meta.dir, "..", "..");
    const bare = join(folder, "bare"); // the command line alone, in a place where no other package can be found
    for (const part of [
      "src/cli",
      "src/method",
      "src/text",
      "src/errors.ts",
      "src/launcher.ts",
      "src/peak-memory.ts",
      "src/temporary.ts",
      "package.json",
      "test/cli/fixtures",
      "node_modules/cac",
    ])
      cpSync(join(root, part), join(bare, part), { recursive: true, dereference: true });
    const shape = join(bare, "test", "cli", "fixtures", "shape.ts");
    const there = (...argv: string[]) => run(argv, {}, shape);

    for (const argv of [
      ["--help"],
      ["--help", "--method", "average"],
      ["--list"],
      ["x", "--steps", "3", "--act", "show"],
    ]) {
      const { code, out } = await there(...argv);
      expect([argv, code]).toEqual([argv, 0]);
      expect(out).toBe((await run(argv)).out);
    }
    const doubtful = await there("--steps", "x");
    expect([doubtful.code, doubtful.err]).toEqual([1, expect.stringContaining("arktype")]);
  });

  test("is quick (printed, not judged: the machine may be busy)", async () => {
    const times: number[] = [];
    for (let i = 0; i < 7; i++) {
      const began = performance.now();
      expect((await run(["--help"])).code).toBe(0);
      times.push(performance.now() - began);
    }
    process.stderr.write(`--help: median ${times.sort((a, b) => a - b)[3]!.toFixed(0)} ms\n`);
  });
});

describe("log", () => {
  test("is not added to what is no log", async () => {
    const path = join(folder, "config.json");
    writeFileSync(path, "{}");
    const { code, err } = await run(["a/", "--log", path]);
    expect([code, err]).toEqual([
      2,
      `shape: --log: ${path} exists but is not a log\n  hint: name another file; logs are appended to\n`,
    ]);
    expect(readFileSync(path, "utf8")).toBe("{}");
    writeFileSync(path, "");
    expect((await run(["a/", "--log", path])).code).toBe(0);
  });

  test("is JSON lines, appended: start, events, end", async () => {
    const path = join(folder, "run.jsonl");
    await run(["a/", "--log", path, "--seed", "5", "--method", "task-vector", "--scale", "2"]);
    await run(["--log", path, "--act", "mistake"]);
    const [start, result, end, start2, end2] = readFileSync(path, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(start).toMatchObject({ event: "start", script: "shape", method: "task_vector", inputs: ["a/"], seed: 5 });
    expect(start.run).toMatch(/^[0-9a-v]{8}$/);
    expect(start.version).toMatch(/^\d+\.\d+\.\d+$/);
    expect(start.options).toMatchObject({ act: "show", steps: 10, scale: 2, density: 0.5 });
    expect(result).toMatchObject({ event: "result", value: { args: ["a/"] } });
    expect(end).toMatchObject({ event: "end", ok: true, out: "nothing much" });
    expect(end.seconds).toBeNumber();
    expect(start2.run).not.toBe(start.run);
    expect(end2).toMatchObject({ event: "end", ok: false, error: "a/ and b/ differ" });
  });

  test("that cannot be written stops the script before it works", async () => {
    const { code, err, out } = await run(["--log", folder]);
    expect(err).toBe(`shape: --log: ${folder} cannot be written (EISDIR)\n  hint: choose another file\n`);
    expect([code, out]).toEqual([2, ""]);
  });
});

describe("ingot", () => {
  const INGOT = join(import.meta.dir, "..", "..", "scripts", "ingot.ts");

  test("lists the scripts when it is given nothing", async () => {
    const { code, out } = await run([], {}, INGOT);
    expect(out).toMatch(/^ingot \d+\.\d+\.\d+: /);
    for (const name of readdirSync(join(INGOT, "..")).filter((name) => name !== "ingot.ts" && name.endsWith(".ts")))
      expect(out).toContain(`\n  ${name.slice(0, -3)} `);
    expect(code).toBe(0);
  });

  test("suggests a script for an unknown one", async () => {
    const { code, err } = await run(["tset", "--fast"], {}, INGOT);
    expect([code, err]).toEqual([2, "ingot: unknown script tset\n  hint: did you mean ingot test --fast?\n"]);
  });

  test("hands the arguments to the script beside it", async () => {
    const scripts = join(folder, "scripts");
    await Bun.write(
      join(scripts, "echo.ts"),
      "/** Print the arguments. More. */\nprocess.stdout.write(JSON.stringify(process.argv.slice(2)));\n",
    );
    const root = join(import.meta.dir, "..", "..").replaceAll("\\", "/");
    writeFileSync(join(scripts, "ingot.ts"), readFileSync(INGOT, "utf8").replaceAll('from "../', `from "${root}/`));
    const { out, code } = await run(["echo", "a", "--b"], {}, join(scripts, "ingot.ts"));
    expect([code, out]).toEqual([0, '["a","--b"]']);
    expect((await run([], {}, join(scripts, "ingot.ts"))).out).toContain("\n  echo  Print the arguments.\n");
  });
});
