/**
 * Where set-up keeps what it fetched, per user. No package is imported here: this runs before there are any.
 */
import { accessSync, constants, existsSync, lstatSync, mkdirSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The folders that may hold fetched files, best first: INGOT_CACHE alone when it is set, else the system's cache folder
 * of this user and then one in the temporary folder, for users whose home cannot be written.
 */
export function cacheFolders(env: Environment = process.env, platform: string = process.platform): string[] {
  if (env.INGOT_CACHE) return [env.INGOT_CACHE];
  const home = env.HOME ?? homedir();
  const usual =
    platform === "win32"
      ? join(env.LOCALAPPDATA ?? join(home, "AppData", "Local"), "ingot")
      : env.XDG_CACHE_HOME && isAbsolute(env.XDG_CACHE_HOME) // the XDG specification takes no other path
        ? join(env.XDG_CACHE_HOME, "ingot")
        : platform === "darwin"
          ? join(home, "Library", "Caches", "ingot")
          : join(home, ".cache", "ingot");
  return [usual, join(tmpdir(), `ingot-${process.getuid?.() ?? "user"}`)];
}

/**
 * True when only this user and root can write the folder. The temporary folder is shared, and what is loaded from the
 * cache runs as this user.
 */
export function isTrustedFolder(folder: string): boolean {
  if (process.platform === "win32") return existsSync(folder);
  const stat = lstatSync(folder, { throwIfNoEntry: false });
  if (!stat?.isDirectory()) return false;
  return (stat.uid === process.getuid?.() || stat.uid === 0) && (stat.mode & 0o022) === 0;
}

function isWritable(folder: string): boolean {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    accessSync(folder, constants.W_OK);
    return isTrustedFolder(folder);
  } catch {
    return false;
  }
}

/** The first cache folder that can be written, made if need be; undefined when there is none. */
export const writableCache = (): string | undefined => cacheFolders().find(isWritable);

/** The nearest folder above `path` that exists: where its free space is to be looked up. */
export function nearestExisting(path: string): string {
  let folder = path;
  while (!existsSync(folder) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
}
