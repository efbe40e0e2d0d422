/**
 * A script as a shell's command: `bun client.ts PATH/train.ts ARGUMENTS`. The process that runs scripts does it where
 * it is free and the command reads no pipe; else it runs here.
 */
import { fstatSync, readFileSync, readlinkSync, rmSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { ask, isServed, SOCKET } from "./work.ts";

const [, , script, ...argv] = process.argv as [string, string, string, ...string[]];

interface Target {
  readonly path: string;
  end(): void;
}

/** Where another process may write what is meant for one of this one's files; sockets take it from here. */
function target(fd: number, folder: string): Target {
  if (!fstatSync(fd).isSocket()) return { path: `/proc/${process.pid}/fd/${fd}`, end() {} };
  const path = join(folder, `shell-${process.pid}-${fd}`);
  return {
    path,
    end() {
      const bytes = readFileSync(path);
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
      rmSync(path);
    },
  };
}

async function served(): Promise<number | undefined> {
  const path = process.env[SOCKET];
  if (path === undefined || process.platform !== "linux" || !isServed(script)) return undefined;
  if (readlinkSync("/proc/self/fd/0") !== "/dev/null") return undefined;
  const [out, err] = [1, 2].map((fd) => target(fd, dirname(path))) as [Target, Target];
  const work = { script, argv, cwd: process.cwd(), env: process.env, out: out.path, err: err.path, pid: process.pid };
  const answer = await ask(path, work);
  if (!answer || !("code" in answer)) return undefined;
  err.end();
  out.end();
  return answer.code;
}

const code = await served();
if (code !== undefined) process.exit(code);
process.argv.splice(1, 2, script);
await import(script);
