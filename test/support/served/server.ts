/**
 * A process that runs scripts one after the other, each as a process of its own would: with its arguments and
 * environment, in its folder, its output into files, its exit code told. What a process costs before it works (reading
 * a thousand files, opening a GPU, compiling kernels) is paid once. `bun server.ts SOCKET`; "ready" on stdout.
 */
import { dlopen } from "bun:ffi";
import {
  closeSync,
  constants,
  createReadStream,
  existsSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { type Device, provideDevices } from "../../../src/gpu/device.ts";
import { type Answer, isServed, type Work } from "./work.ts";

const C = process.platform === "darwin" ? "/usr/lib/libSystem.B.dylib" : "libc.so.6";
const { dup, dup2 } = dlopen(C, {
  dup: { args: ["i32"], returns: "i32" },
  dup2: { args: ["i32", "i32"], returns: "i32" },
}).symbols;

/** This process's own output. */
const OWN = [dup(1), dup(2)] as const;

/** Whoever started this process holds the other end of its input: when that is closed, nobody needs it any more. */
const HELD = dup(0);
dup2(openSync("/dev/null", "r"), 0);

const isOpen = (file: string): boolean => file.startsWith("/proc/");

/** Whether a file that another process has open is written at its end alone. */
function appends(file: string): boolean {
  const flags = /^flags:\s*(\d+)/m.exec(readFileSync(file.replace("/fd/", "/fdinfo/"), "utf8"))![1]!;
  return (Number.parseInt(flags, 8) & constants.O_APPEND) !== 0;
}

/** Whether two may write to it: a file is written where each of them stands, unless that is its end. */
const isShared = (file: string): boolean => !isOpen(file) || !statSync(file).isFile() || appends(file);

function writeTo(files: readonly [out: string, err: string]): void {
  for (const [index, file] of files.entries()) {
    const how = isOpen(file) ? constants.O_WRONLY | (appends(file) ? constants.O_APPEND : 0) : "w";
    const fd = openSync(file, how);
    dup2(fd, index + 1);
    closeSync(fd);
  }
}

function writeToOwn(): void {
  for (const [index, fd] of OWN.entries()) dup2(fd, index + 1);
}

const remembered = <K, V>(map: Map<K, V>, key: K, make: () => V): V => {
  const found = map.get(key) ?? make();
  map.set(key, found);
  return found;
};

/** A device that stays open and compiles each kernel once, however many scripts open and close it. */
function kept(opened: Device): Device {
  const { device } = opened;
  const modules = new Map<string, GPUShaderModule>();
  const pipelines = new Map<GPUShaderModule, Map<string, GPUComputePipeline>>();
  const compileModule = device.createShaderModule.bind(device);
  const compilePipeline = device.createComputePipeline.bind(device);
  return {
    ...opened,
    device: Object.assign(device, {
      destroy: () => {},
      createShaderModule: (given: GPUShaderModuleDescriptor) =>
        remembered(modules, given.code, () => compileModule(given)),
      createComputePipeline: (given: GPUComputePipelineDescriptor) => {
        const { module, entryPoint, constants } = given.compute;
        const ofModule = remembered(pipelines, module, () => new Map<string, GPUComputePipeline>());
        return remembered(ofModule, JSON.stringify([entryPoint, constants]), () => compilePipeline(given));
      },
    }),
  };
}

const devices = new Map<string | undefined, Promise<Device>>();
provideDevices((open) => (wanted) => {
  const device = remembered(devices, wanted, () => open(wanted).then(kept));
  device.catch(() => devices.delete(wanted));
  return device;
});

/** `ingot NAME` imports the script NAME, which runs once only; so it is run as itself. */
function scriptOf({ script, argv }: Work): { file: string; rest: readonly string[] } {
  if (!script.endsWith("/ingot.ts")) return { file: script, rest: argv };
  return { file: join(dirname(script), `${argv[0]}.ts`), rest: argv.slice(1) };
}

/** False of `ingot` alone, of what is no script, and of scripts that print in ways of their own. */
function isRunnable(work: Work): boolean {
  const { file } = scriptOf(work);
  return existsSync(file) && isServed(file) && !file.endsWith("/ingot.ts");
}

const [bun, , path] = process.argv as [string, string, string];
const end = process.exit.bind(process);

/** What scripts leave behind, some MB each, goes with this process; the next one begins where its socket is missing. */
const MOST = 100;
createReadStream("", { fd: HELD })
  .on("close", () => {
    rmSync(dirname(path), { recursive: true, force: true });
    end(0);
  })
  .resume();
let count = 0;

/** Runs a script to its end and gives its exit code; one that ends its process takes this one along. */
async function run(work: Work, answer: (code: number, isLast: boolean) => void): Promise<void> {
  const { file, rest } = scriptOf(work);
  process.chdir(work.cwd);
  writeTo([work.out, work.err]);
  for (const name of Object.keys(process.env)) if (!(name in work.env)) delete process.env[name];
  Object.assign(process.env, work.env);
  process.argv = [bun, work.script, ...rest];
  process.exitCode = 0;
  process.exit = ((code) => {
    answer(Number(code ?? process.exitCode ?? 0), true);
    end(0);
  }) as typeof process.exit;
  await import(`${file}?run=${count++}`);
  const code = Number(process.exitCode ?? 0);
  process.exitCode = 0;
  writeToOwn();
  answer(code, count === MOST);
  if (count === MOST) end(0);
}

/** Whether a process sees the same disks and has the same limits. */
const isAlike = (pid: number): boolean =>
  readlinkSync(`/proc/${pid}/ns/mnt`) === readlinkSync("/proc/self/ns/mnt") &&
  readFileSync(`/proc/${pid}/limits`, "utf8") === readFileSync("/proc/self/limits", "utf8");

/** Variables that count when a process or its driver starts. */
const AT_START = /^(VK_|LP_|MESA_|INGOT_DAWN_|INGOT_CACHE)/;
const own = { ...process.env };

const startsAlike = ({ env }: Work): boolean =>
  Object.keys({ ...own, ...env }).every((name) => !AT_START.test(name) || own[name] === env[name]);

let busy = false;
Bun.listen<{ text: string }>({
  unix: path,
  socket: {
    open(socket) {
      socket.data = { text: "" };
    },
    data(socket, bytes) {
      socket.data.text += bytes.toString();
      if (!socket.data.text.endsWith("\n")) return;
      const answer = (given: Answer) => {
        socket.write(`${JSON.stringify(given)}\n`);
        socket.flush();
      };
      const work: Work = JSON.parse(socket.data.text);
      const isPossible = !busy && isRunnable(work) && startsAlike(work) && isShared(work.out) && isShared(work.err);
      if (!isPossible || (work.pid !== undefined && !isAlike(work.pid))) return answer({ refused: true });
      busy = true;
      run(work, (code, isLast) => {
        busy = false;
        if (isLast) rmSync(path);
        answer({ code });
      }).catch((error) => {
        writeToOwn();
        console.error(error);
        end(1);
      });
    },
  },
});
writeSync(1, "ready\n");
