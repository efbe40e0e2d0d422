/** Where the bytes of a result go: a file that the browser writes as they come, or parts that become a download. */

export interface Output {
  readonly name: string;
  /** Takes bytes, in order; they may change once the promise resolves. */
  write(bytes: Uint8Array): Promise<void>;
  /** The result is whole. */
  finish(): Promise<void>;
  /** Leaves nothing behind. */
  abort(): Promise<void>;
}

/** What is needed of a file of the File System Access interface; see https://fs.spec.whatwg.org/. */
export interface FileHandle {
  readonly name: string;
  createWritable(): Promise<{
    write(bytes: Uint8Array): Promise<void>;
    close(): Promise<void>;
    abort(): Promise<void>;
  }>;
  getFile(): Promise<Blob>;
  /** Not in every browser. */
  remove?(): Promise<void>;
}

/**
 * Into a file, under whose name nothing appears before the end. Bytes are copied first: the browser may not take mapped
 * memory away.
 */
export async function toFile(handle: FileHandle): Promise<Output> {
  const stream = await handle.createWritable();
  return {
    name: handle.name,
    write: (bytes) => stream.write(bytes.slice()),
    finish: () => stream.close(),
    async abort() {
      await stream.abort().catch(() => {}); // of a stream that failed by itself
      // Asking for a new name makes an empty file of it.
      const isEmpty = await handle.getFile().then(
        ({ size }) => size === 0,
        () => false,
      );
      if (isEmpty) await handle.remove?.().catch(() => {});
    },
  };
}

/** Into a download, given to `save` when it is whole. Until then the browser holds the parts, beside the page. */
export function toDownload(name: string, save: (name: string, whole: Blob) => void): Output {
  let parts: Blob[] = [];
  return {
    name,
    async write(bytes) {
      parts.push(new Blob([bytes.slice()]));
    },
    async finish() {
      save(name, new Blob(parts, { type: "application/octet-stream" }));
      parts = [];
    },
    async abort() {
      parts = [];
    },
  };
}
