import type { DescMessage } from "@bufbuild/protobuf";

/** Properties that Protobuf-ES sets when it describes a message's fields. */
const PARTS = ["fields", "field", "oneofs", "members"] as const;

/** Describes the fields of a message when they are first read. */
export function describeWhenAsked(message: DescMessage, describe: () => void): void {
  const { fields, field, oneofs, members } = message;
  const parts = { fields, field, oneofs, members };
  const settle = (): void => {
    for (const name of PARTS) {
      Object.defineProperty(message, name, {
        value: parts[name],
        writable: true,
        enumerable: true,
        configurable: true,
      });
    }
    describe();
  };
  for (const name of PARTS) {
    Object.defineProperty(message, name, {
      get: () => {
        settle();
        return parts[name];
      },
      enumerable: true,
      configurable: true,
    });
  }
}
