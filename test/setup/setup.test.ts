import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { installDependencies, installedPackages, type Packages, ROOT } from "../../src/setup/dependencies.ts";
import { run } from "../../src/setup/run.ts";

const SOURCE = join(ROOT, "src", "setup");

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-setup-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const script = (file: string, body: string) => [
  process.execPath,
  "-e",
  `const m = await import(${JSON.stringify(join(SOURCE, file))}); ${body}`,
];

describe("packages", () => {
  /** A project with one package and one for its tests, which are folders beside it: nothing is fetched. */
  async function project(): Promise<string> {
    const root = join(folder, "project");
    mkdirSync(join(folder, "one"), { recursive: true });
    mkdirSync(root);
    writeFileSync(join(folder, "one", "package.json"), JSON.stringify({ name: "one", version: "1.0.0" }));
    mkdirSync(join(folder, "tool"));
    writeFileSync(join(folder, "tool", "package.json"), JSON.stringify({ name: "tool", version: "1.0.0" }));
    const packages = { dependencies: { one: "file:../one" }, devDependencies: { tool: "file:../tool" } };
    writeFileSync(join(root, "package.json"), JSON.stringify({ name: "project", ...packages }));
    expect((await run([process.execPath, "install"], { cwd: root })).code).toBe(0);
    rmSync(join(root, "node_modules"), { recursive: true });
    return root;
  }

  test("are installed once, and again when the lock file changes", async () => {
    const root = await project();
    const lines: string[] = [];
    const install = () => installDependencies((line) => lines.push(line), "all", root);
    expect(installedPackages(root)).toBeUndefined();
    await install();
    expect(existsSync(join(root, "node_modules", "one", "package.json"))).toBe(true);
    expect(installedPackages(root)).toBe("all");
    expect(lines).toEqual([
      "installing the packages of bun.lock",
      expect.stringMatching(/^packages installed in \d+\.\d s$/),
    ]);
    await install();
    expect(lines).toHaveLength(2);
    appendFileSync(join(root, "bun.lock"), "\n");
    expect(installedPackages(root)).toBeUndefined();
    await install();
    expect(lines).toHaveLength(4);
  });

  test("are those that scripts need, until tests need all of them", async () => {
    const root = await project();
    const install = (packages: Packages) => installDependencies(() => {}, packages, root);
    const has = (name: string) => existsSync(join(root, "node_modules", name, "package.json"));
    await install("runtime");
    expect([has("one"), has("tool"), installedPackages(root)]).toEqual([true, false, "runtime"]);
    await install("all");
    expect([has("one"), has("tool"), installedPackages(root)]).toEqual([true, true, "all"]);
    await install("runtime");
    expect([has("tool"), installedPackages(root)]).toEqual([true, "all"]);
    appendFileSync(join(root, "bun.lock"), "\n");
    await install("runtime");
    expect([has("tool"), installedPackages(root)]).toEqual([true, "all"]);
  });

  test("are installed by one of two processes that need them at once", async () => {
    const root = await project();
    const install = script(
      "dependencies.ts",
      `await m.installDependencies((line) => console.log(line), "all", ${JSON.stringify(root)})`,
    );
    const ended = await Promise.all([run(install), run(install)]);
    expect(ended.map(({ code, stderr }) => ({ code, stderr }))).toEqual([
      { code: 0, stderr: "" },
      { code: 0, stderr: "" },
    ]);
    const said = ended.map(({ stdout }) => stdout).join("");
    expect(said.split("installing the packages").length - 1).toBe(1);
    expect(installedPackages(root)).toBe("all");
  });

  test("that cannot be installed stop with what the package manager said", async () => {
    const root = await project();
    writeFileSync(
      join(root, "package.json"),
      JSON.stringify({ name: "project", dependencies: { two: "file:../two" } }),
    );
    await expect(installDependencies(() => {}, "all", root)).rejects.toMatchObject({
      message: expect.stringMatching(/^The packages of bun.lock could not be installed:\n {4}\S/),
      hint: "check the network and the registry that .npmrc names; if package.json changed, run: bun install",
      exitCode: 1,
    });
  });
});

describe("one process at a time", () => {
  test("the next one starts when the first has ended", async () => {
    const log = join(folder, "log");
    const work = script(
      "exclusive.ts",
      `const { appendFileSync } = await import("node:fs");
       await m.exclusively(${JSON.stringify(join(folder, "lock"))}, async () => {
         appendFileSync(${JSON.stringify(log)}, "in ");
         await Bun.sleep(60);
         appendFileSync(${JSON.stringify(log)}, "out ");
       }, () => {});`,
    );
    const ended = await Promise.all([run(work), run(work), run(work)]);
    expect(ended.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(readFileSync(log, "utf8")).toBe("in out in out in out ");
  });

  test("a holder that was killed holds nothing", async () => {
    const lock = JSON.stringify(join(folder, "lock"));
    const hold = script(
      "exclusive.ts",
      `await m.exclusively(${lock}, async () => { console.log("held"); await Bun.sleep(60000); }, () => {});`,
    );
    const holder = Bun.spawn(hold, { stdout: "pipe", stderr: "inherit" });
    const { value } = await holder.stdout.getReader().read();
    expect(new TextDecoder().decode(value)).toBe("held\n");
    holder.kill("SIGKILL");
    await holder.exited;
    const next = await run(
      script(
        "exclusive.ts",
        `await m.exclusively(${lock}, async () => console.log("mine"), () => console.log("waiting"));`,
      ),
    );
    expect(next.stdout).toBe("mine\n");
  });
});

test("a second set-up finds everything in order and changes nothing", async () => {
  const stamp = join(ROOT, "node_modules", ".ingot-installed");
  const command = script("setup.ts", "await m.setUp(); await m.setUp({ quiet: true });");
  await run(command);
  const before = statSync(stamp).mtimeMs;
  const again = await run(command);
  expect(again.code).toBe(0);
  expect(again.stdout).toBe("");
  expect(again.stderr).toMatch(/^set-up: .+ \(\w+, \w+\) answers, and its numbers are right\n$/);
  expect(statSync(stamp).mtimeMs).toBe(before);
});

describe("doctor", () => {
  const doctor = (...args: string[]) => run([process.execPath, join(ROOT, "scripts", "doctor.ts"), ...args]);

  test("prints what was found as JSON", async () => {
    const ended = await doctor("--json");
    const found = JSON.parse(ended.stdout);
    expect(ended.code).toBe(found.ok ? 0 : 1);
    expect(found.versions.bun).toStartWith(Bun.version);
    expect(found.check.adapter.limits.maxStorageBufferBindingSize).toBeGreaterThan(2 ** 26);
    expect(found.free_bytes["temporary folder"]).toBeGreaterThan(0);
  });

  test.skipIf(process.platform !== "linux")("says why there is no adapter, and ends with 1", async () => {
    const command = [process.execPath, join(ROOT, "scripts", "doctor.ts")];
    const ended = await run(command, { env: { VK_DRIVER_FILES: "/nowhere.json", INGOT_DRIVER: "system" } });
    expect(ended.code).toBe(1);
    expect(ended.stdout).toContain("No Vulkan adapter");
    expect(ended.stdout).toMatch(/bun run doctor --fix \(?adds a software driver/);
    expect(ended.stdout).toEndWith("No adapter can be used.\n");
  });

  test("refuses an option that it does not know", async () => {
    expect(await doctor("--fxi")).toEqual({
      code: 2,
      stdout: "",
      stderr: "doctor: Unknown option --fxi\n  hint: bun run doctor --help lists the options\n",
    });
  });
});
