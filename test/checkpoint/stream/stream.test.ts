import { describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { openStream } from "../../../src/checkpoint/stream/stream.ts";
import { bytesOf, fileOf, inFolder, make, readIndependently, refusal } from "../sample.ts";

const copy = path.join(import.meta.dir, "copy.ts");
const made = make({
  a: ["F32", [300, 7]],
  e: ["U8", [0]],
  b: ["BF16", [100_001]],
  c: ["I64", [5]],
  d: ["U8", [70_000]],
});
const whole = fileOf(made, { "config.json": "{}" });
const dataStart = whole.length - made.reduce((sum, { bytes }) => sum + bytes, 0);

/** Opens bytes as a stream: a file's descriptor is read in order, like a pipe's. */
async function streamOf<T>(bytes: Uint8Array, body: (s: Awaited<ReturnType<typeof openStream>>) => Promise<T>) {
  return inFolder(async (folder) => {
    fs.writeFileSync(path.join(folder, "x"), bytes);
    const stream = await openStream(fs.openSync(path.join(folder, "x"), "r"), "stdin", "-", true);
    try {
      return await body(stream);
    } finally {
      stream.close();
    }
  });
}

/** Runs the copying child with stdin given in pieces; its stdout, stderr and exit code. */
function run(args: string[], pieces: Uint8Array[], env: Record<string, string> = {}) {
  return new Promise<{ out: Buffer; err: string; code: number | null }>((resolve) => {
    const child = spawn("bun", [copy, ...args], { env: { ...process.env, ...env } });
    const out: Buffer[] = [];
    let err = "";
    child.stdout.on("data", (data) => out.push(data));
    child.stderr.on("data", (data) => {
      err += data;
    });
    child.on("close", (code) => resolve({ out: Buffer.concat(out), err, code }));
    child.stdin.on("error", () => {});
    (async () => {
      for (const piece of pieces) {
        child.stdin.write(piece);
        await Bun.sleep(1);
      }
      child.stdin.end();
    })();
  });
}

const pieces = (bytes: Uint8Array, size: number) =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));

const expectCopy = (out: Uint8Array, names: string[]) => {
  const { tensors, metadata } = readIndependently(out);
  expect([...tensors.keys()]).toEqual(names);
  for (const { name, data } of made) expect(Buffer.compare(tensors.get(name)!.data, data)).toBe(0);
  expect(metadata["config.json"]).toBe("{}");
};

describe("between processes", () => {
  test("a stream in small pieces is copied in order", async () => {
    const { out, err, code } = await run(["-", "-"], pieces(whole, 9_001));
    expect(err).toBe("begun\n");
    expect(code).toBe(0);
    expectCopy(out, ["a", "e", "b", "c", "d"]);
  });

  test("in reverse order, through the spool, and twice over, retained", async () => {
    const reverse = await run(["/dev/stdin", "-", '{"reverse":true}'], [whole]);
    expectCopy(reverse.out, ["d", "c", "b", "e", "a"]);
    const retain = await run(["-", "/dev/stdout", '{"retain":true,"chunk":1000}'], [whole]);
    expectCopy(retain.out, ["a", "e", "b", "c", "d"]);
  });

  test("a chain of pipes gives the bytes that a file gives", () =>
    inFolder(async (folder) => {
      const [x, y] = [path.join(folder, "x.safetensors"), path.join(folder, "y.safetensors")];
      fs.writeFileSync(x, whole);
      expect((await run([x, y], [])).code).toBe(0);
      const shell = `bun ${copy} ${x} - | bun ${copy} - - | bun ${copy} - ${folder}/z.safetensors`;
      expect(Bun.spawnSync(["sh", "-c", shell]).exitCode).toBe(0);
      expect(fs.readFileSync(`${folder}/z.safetensors`).equals(fs.readFileSync(y))).toBeTrue();
      // Several streams: descriptors that the shell passes, and named pipes.
      const named = path.join(folder, "pipe");
      expect(Bun.spawnSync(["mkfifo", named]).exitCode).toBe(0);
      const [, fifo] = await Promise.all([run([x, named], []), run([named, "-"], [])]);
      expect(fifo.out.equals(fs.readFileSync(y))).toBeTrue();
      const bash = Bun.spawnSync(["bash", "-c", `bun ${copy} <(cat ${x}) -`]);
      expect(bash.stdout.equals(fs.readFileSync(y))).toBeTrue();
    }));

  test("a reader that goes away ends the writer quietly", () =>
    inFolder(async (folder) => {
      const big = make({ w: ["U8", [4_000_000]] });
      fs.writeFileSync(path.join(folder, "x.safetensors"), fileOf(big));
      const shell = `bun ${copy} ${folder}/x.safetensors - '{"chunk":100000}' | head -c 1000 > ${folder}/head`;
      const { stderr } = Bun.spawnSync(["sh", "-c", shell]);
      expect(stderr.toString()).toBe("begun\nclosed\n");
      expect(fs.statSync(path.join(folder, "head")).size).toBe(1000);
    }));

  const hint = "\n  hint: the command before the pipe failed; its message is above\n";
  const at = (n: number) => n.toLocaleString("en-US");
  const CUT: [string, Uint8Array, string][] = [
    ["nothing", whole.slice(0, 0), `stdin was empty${hint}`],
    ["half a length", whole.slice(0, 5), "stdin is 5 bytes long; a safetensors file has at least 10"],
    [
      "half a header",
      whole.slice(0, 100),
      `stdin was cut short: it ended at byte 100, inside its header of ${dataStart - 8} bytes${hint}`,
    ],
    [
      "half a tensor",
      whole.slice(0, dataStart + 8_400 + 1_000),
      `stdin was cut short: it ended in tensor b (byte 1,000 of 200,002), at byte ${at(dataStart + 9_400)} of ${at(whole.length)}${hint}`,
    ],
    [
      "more than a file",
      Buffer.concat([whole, Buffer.from("x")]),
      `stdin has trailing bytes: more follows byte ${at(whole.length)}, where its last tensor ends\n`,
    ],
    ["JSONL", Buffer.from('{"text":"a"}\n{"text":"b"}\n'), "stdin is JSON or JSONL text; expected safetensors\n"],
    ["a single letter", Buffer.from("x"), "stdin is 1 bytes long; a safetensors file has at least 10"],
  ];
  test.each(CUT)("%s is refused, and leaves nothing", (_, bytes, message) =>
    inFolder(async (folder) => {
      const { err, code } = await run(["-", path.join(folder, "out.safetensors")], pieces(bytes, 50_000));
      expect(err.replace(/^begun\n/, "")).toStartWith(message);
      expect(code).toBe(2);
      expect(fs.readdirSync(folder)).toEqual([]);
    }),
  );

  test("a pipe that its parent made non-blocking is waited for", async () => {
    // Bun's own spawn gives a socket pair, node's a pipe; both must do.
    const child = Bun.spawn(["bun", copy, "-", "-"], { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
    for (const piece of pieces(whole, 60_000)) {
      child.stdin.write(piece);
      await child.stdin.flush();
      await Bun.sleep(20);
    }
    child.stdin.end();
    expectCopy(new Uint8Array(await new Response(child.stdout).arrayBuffer()), ["a", "e", "b", "c", "d"]);
  });
});

describe("one stream", () => {
  test("gives every tensor in any order, in parallel", () =>
    streamOf(whole, async (stream) => {
      expect(stream.kind).toBe("stream");
      const order = ["c", "a", "d", "e", "b"];
      const all = await Promise.all(order.map((name) => bytesOf(stream.tensors.get(name)!)));
      for (const [i, name] of order.entries()) expect(all[i]!).toEqual(made.find((m) => m.name === name)!.data);
      await stream.finish();
    }));

  test("reads a piece that is half in the spool and half to come", () =>
    streamOf(whole, async (stream) => {
      const b = stream.tensors.get("b")!;
      const data = made.find(({ name }) => name === "b")!.data;
      const piece = new Uint8Array(100);
      await b.read(piece, 1000);
      expect(piece).toEqual(data.slice(1000, 1100));
      const early = new Uint8Array(1000);
      await b.read(early, 0);
      expect(early).toEqual(data.slice(0, 1000));
      stream.retain("d");
      expect(await bytesOf(stream.tensors.get("d")!)).toEqual(made[4]!.data);
      expect(await bytesOf(stream.tensors.get("d")!)).toEqual(made[4]!.data);
      const tail = new Uint8Array(data.length - 1100);
      await b.read(tail, 1100);
      expect(tail).toEqual(data.slice(1100));
    }));

  test("refuses to read twice what was not retained, and to retain what is gone", () =>
    streamOf(whole, async (stream) => {
      await bytesOf(stream.tensors.get("a")!);
      await expect(bytesOf(stream.tensors.get("a")!)).rejects.toThrow("was read twice");
      expect(() => stream.retain("a")).toThrow("tensor a was read before it was retained");
      expect(() => stream.retain("zz")).toThrow("has no tensor zz");
      expect(await bytesOf(stream.tensors.get("b")!)).toEqual(made[2]!.data); // and goes on
    }));

  test("a tensor passed over can be retained later", () =>
    streamOf(whole, async (stream) => {
      await bytesOf(stream.tensors.get("c")!);
      stream.retain("a");
      for (let i = 0; i < 2; i++) expect(await bytesOf(stream.tensors.get("a")!)).toEqual(made[0]!.data);
    }));

  test("leaves no temporary file", () =>
    streamOf(whole, async (stream) => {
      await bytesOf(stream.tensors.get("d")!);
      expect(fs.readdirSync(os.tmpdir()).filter((name) => name.startsWith(`ingot-spool-${process.pid}-`))).toEqual([]);
    }));

  test("a claimed header of 100 MB that does not come takes no memory", async () => {
    const start = new Uint8Array(20);
    new DataView(start.buffer).setBigUint64(0, 99_999_999n, true);
    start[8] = 0x7b;
    const before = process.memoryUsage().rss;
    const error = await refusal(() => streamOf(start, async () => {}));
    expect(error.message).toBe("stdin was cut short: it ended at byte 20, inside its header of 99,999,999 bytes");
    expect(process.memoryUsage().rss - before).toBeLessThan(30e6);
  });
});
