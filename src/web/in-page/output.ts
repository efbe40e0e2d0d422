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

/** A stream of the File System Access interface: what is written appears under its name when it is closed. */
export interface FileStream {
  write(bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
  abort(): Promise<void>;
}

/** Into a file. Bytes of mapped memory are copied first, which the browser may not take away. */
export const toFile = (name: string, stream: FileStream): Output => ({
  name,
  write: (bytes) => stream.write(bytes.slice()),
  finish: () => stream.close(),
  abort: () => stream.abort(),
});

/** Into a download, given to `save` when it is whole. The browser keeps the parts, large ones on the disk. */
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
