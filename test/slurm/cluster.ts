/**
 * A Slurm of several nodes on one machine, for tests: a controller and a daemon per node, each with ports and folders
 * of its own below one folder, and nothing of a Slurm that the machine may have. Needs slurmctld, slurmd, sbatch and
 * munged (Debian: slurmctld slurmd slurm-client munge) and root, as slurmd does.
 */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";

const PROGRAMS = ["munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo", "scontrol"] as const;

/** The programs of Slurm that are not here. */
export const missingPrograms = (): string[] => PROGRAMS.filter((name) => pathOf(name) === null);

/** Daemons live in sbin, which is not on every PATH. */
const pathOf = (name: string): string | null =>
  Bun.which(name, { PATH: `${process.env.PATH}:/usr/sbin:/usr/local/sbin` });

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });

export interface Task {
  readonly id: string;
  readonly state: string;
  readonly node: string;
}

/** The cluster; `close` ends all of its processes. */
export class Cluster {
  readonly folder: string;
  readonly nodes: readonly string[];
  readonly #daemons = new Map<string, Bun.Subprocess>();

  constructor(folder: string, nodes: number) {
    this.folder = folder;
    this.nodes = Array.from({ length: nodes }, (_, i) => `node${i + 1}`);
  }

  /** Starts the daemons and waits until every node is idle. Throws Error where a node does not come up. */
  async start(): Promise<this> {
    for (const name of ["munge", "state", "log", ...this.nodes.map((node) => `spool-${node}`)])
      mkdirSync(join(this.folder, name), { recursive: true });
    chmodSync(join(this.folder, "munge"), 0o711);
    writeFileSync(join(this.folder, "munge/key"), crypto.getRandomValues(new Uint8Array(128)), { mode: 0o400 });
    const munge = (name: string) => join(this.folder, "munge", name);
    const files = ["--socket", "socket", "--pid-file", "pid", "--log-file", "log", "--seed-file", "seed"];
    this.#daemon("munged", [
      "munged",
      "--foreground",
      "--force",
      `--key-file=${munge("key")}`,
      ...files.map((word, i) => (i % 2 ? munge(word) : word)),
    ]);
    writeFileSync(join(this.folder, "slurm.conf"), await this.#configuration());
    await Bun.sleep(1000);
    this.#daemon("slurmctld", ["slurmctld", "-D", "-c", "-f", this.#conf]);
    for (const node of this.nodes) this.#daemon(node, ["slurmd", "-D", "-c", "-N", node, "-f", this.#conf]);
    await this.#idle();
    return this;
  }

  get #conf(): string {
    return join(this.folder, "slurm.conf");
  }

  async #configuration(): Promise<string> {
    const ports = new Map<string, number>();
    for (const name of ["controller", ...this.nodes]) ports.set(name, await freePort());
    const at = (name: string) => join(this.folder, name);
    return `${[
      "ClusterName=test",
      "SlurmctldHost=localhost",
      "SlurmUser=root",
      "SlurmdUser=root",
      `SlurmctldPort=${ports.get("controller")}`,
      "AuthType=auth/munge",
      `AuthInfo=socket=${at("munge/socket")}`,
      `StateSaveLocation=${at("state")}`,
      `SlurmdSpoolDir=${at("spool-%n")}`,
      `SlurmctldPidFile=${at("slurmctld.pid")}`,
      `SlurmdPidFile=${at("slurmd-%n.pid")}`,
      `SlurmctldLogFile=${at("log/slurmctld")}`,
      `SlurmdLogFile=${at("log/slurmd-%n")}`,
      "ProctrackType=proctrack/linuxproc",
      "TaskPlugin=task/none",
      "SelectType=select/linear",
      "AccountingStorageType=accounting_storage/none",
      "JobAcctGatherType=jobacct_gather/none",
      "MpiDefault=none",
      "SwitchType=switch/none",
      "ReturnToService=2",
      "JobRequeue=1",
      "SlurmdTimeout=10",
      "KillWait=2",
      "MinJobAge=3600",
      "SchedulerParameters=batch_sched_delay=0,sched_interval=1,requeue_setup_env_fail",
      ...this.nodes.map(
        (node) =>
          `NodeName=${node} NodeHostname=localhost NodeAddr=127.0.0.1 Port=${ports.get(node)} CPUs=1 State=UNKNOWN`,
      ),
      `PartitionName=all Nodes=${this.nodes.join(",")} Default=YES MaxTime=INFINITE State=UP`,
    ].join("\n")}\n`;
  }

  #daemon(name: string, [program, ...words]: string[]): void {
    const log = Bun.file(join(this.folder, "log", `${name}.out`));
    const env = { ...process.env, SLURM_CONF: this.#conf };
    this.#daemons.set(
      name,
      Bun.spawn([pathOf(program!)!, ...words], { env, stdin: "ignore", stdout: log, stderr: log }),
    );
  }

  /** Runs a program of Slurm; gives its output. Throws Error with what it says where it fails. */
  async call([program, ...words]: string[], cwd = this.folder): Promise<string> {
    const env = { ...process.env, SLURM_CONF: this.#conf };
    const child = Bun.spawn([pathOf(program!)!, ...words], {
      cwd,
      env,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, err, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    if (code !== 0) throw new Error(`${program} ${words.join(" ")}: ${err}`);
    return out;
  }

  /** Submits a script; gives the number of the job. */
  async submit(words: readonly string[], cwd: string): Promise<string> {
    return (await this.call(["sbatch", "--parsable", ...words], cwd)).trim();
  }

  /** The tasks of an array that wait or run, one by one. */
  async tasks(job: string): Promise<Task[]> {
    const lines = (await this.call(["squeue", "-h", "-r", "-j", job, "-t", "all", "-o", "%i %T %N"])).trim();
    return lines.split("\n").map((line) => {
      const [id, state, node] = line.split(" ");
      return { id: id!, state: state!, node: node ?? "" };
    });
  }

  /** How many times tasks of an array were queued again. */
  async requeued(job: string): Promise<number> {
    const text = await this.call(["scontrol", "show", "job", job]);
    return [...text.matchAll(/\bRestarts=(\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0);
  }

  /** Starts tasks that wait at once: Slurm leaves a task that it queued again alone for two minutes. */
  async hurry(job: string): Promise<void> {
    const waiting = (await this.tasks(job)).filter(({ state }) => state === "PENDING");
    for (const { id } of waiting) await this.call(["scontrol", "update", `JobId=${id}`, "StartTime=now"]);
  }

  /** Waits until all tasks of an array are done. */
  async ended(job: string): Promise<void> {
    await this.until("all tasks are done", async () => {
      await this.hurry(job);
      return (await this.tasks(job)).every(({ state }) => state === "COMPLETED");
    });
  }

  /** Starts the nodes again that were ended, and waits until all are idle. */
  async revive(): Promise<void> {
    for (const node of this.nodes)
      if (this.#daemons.get(node)!.signalCode !== null)
        this.#daemon(node, ["slurmd", "-D", "-c", "-N", node, "-f", this.#conf]);
    await this.#idle();
  }

  #idle(): Promise<void> {
    return this.until("every node is idle", async () => {
      const states = (await this.call(["sinfo", "-h", "-N", "-o", "%T"])).trim().split("\n");
      return states.length === this.nodes.length && states.every((state) => state === "idle");
    });
  }

  /** Ends a node as a power cut does: its daemon, and all that runs on it, at once. */
  kill(node: string): void {
    for (const pid of processesOf(this.#daemons.get(node)!.pid, this.#conf, node)) tryKill(pid);
  }

  /** Waits. Throws Error with the logs when it takes longer than the seconds given. */
  async until(what: string, holds: () => Promise<boolean>, seconds = 120): Promise<void> {
    const end = Date.now() + 1000 * seconds;
    while (!(await holds().catch(() => false))) {
      if (Date.now() > end) throw new Error(`not after ${seconds} s: ${what}\n${this.#logs()}`);
      await Bun.sleep(300);
    }
  }

  #logs(): string {
    return ["slurmctld.out", ...this.nodes.map((node) => `${node}.out`)]
      .map(
        (name) =>
          `${name}:\n${readFileSync(join(this.folder, "log", name), "utf8")
            .split("\n")
            .slice(-15)
            .join("\n")}`,
      )
      .join("\n");
  }

  async close(): Promise<void> {
    for (const [name, { pid }] of this.#daemons) for (const own of processesOf(pid, this.#conf, name)) tryKill(own);
    await Promise.all([...this.#daemons.values()].map(({ exited }) => exited));
  }
}

function tryKill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended already.
  }
}

/** A node's daemon, the daemons of its steps (which are children of no one) and all that they have started. */
function processesOf(daemon: number, conf: string, node: string): number[] {
  const { stdout } = Bun.spawnSync(["ps", "-eo", "pid=,ppid=,args="]);
  const all = [...stdout.toString().matchAll(/^\s*(\d+)\s+(\d+)\s+(.*)$/gm)].map(([, pid, parent, text]) => ({
    pid: Number(pid),
    parent: Number(parent),
    text: text!,
  }));
  const steps = new Set(all.filter(({ text }) => text.startsWith("slurmstepd")).map(({ pid }) => pid));
  const scripts = all.filter(({ pid, parent }) => {
    if (!steps.has(parent)) return false;
    const environment = environmentOf(pid);
    return environment.includes(`SLURM_CONF=${conf}\0`) && environment.includes(`SLURMD_NODENAME=${node}\0`);
  });
  const own = new Set([daemon, ...scripts.map(({ parent }) => parent)]);
  for (let size = 0; size !== own.size; ) {
    size = own.size;
    for (const { pid, parent } of all) if (own.has(parent)) own.add(pid);
  }
  return [...own];
}

function environmentOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf8");
  } catch {
    return ""; // It has ended already.
  }
}
