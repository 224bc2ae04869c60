#!/usr/bin/env python3
"""Make an OCI image archive from files, without docker: one layer, the same bytes for the same input.

  mkimage.py -t localhost/app:1 -o app.tar --entrypoint '["/app"]' --user 65532:65532 \\
             [--cmd '[]'] [--env K=V] [--workdir /] [--label K=V] [--ldd BIN] [--gzip] SRC:DEST[:MODE] ...

SRC is a file, a directory (taken whole) or "@TARGET" for a symbolic link. --ldd BIN takes along the
shared libraries of a binary, at their own paths. Every image gets /tmp (1777) and, unless given,
/etc/passwd and /etc/group with root, nobody (65534) and nonroot (65532).
Nothing is written when OUT was made from the same content before (OUT.key tells).
"""
import argparse
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile

PATH_ENV = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PASSWD = (
    "root:x:0:0:root:/root:/bin/sh\n"
    "nonroot:x:65532:65532:nonroot:/tmp:/bin/sh\n"
    "nobody:x:65534:65534:nobody:/:/bin/false\n"
)
GROUP = "root:x:0:\nnonroot:x:65532:\nnobody:x:65534:\n"
OCI = "application/vnd.oci.image."


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("-t", "--tag", required=True, metavar="NAME:TAG")
    p.add_argument("-o", "--out", required=True)
    p.add_argument("--entrypoint", default="[]", type=json.loads, metavar="JSON")
    p.add_argument("--cmd", default="[]", type=json.loads, metavar="JSON")
    p.add_argument("--env", action="append", default=[], metavar="K=V")
    p.add_argument("--user", default="")
    p.add_argument("--workdir", default="/")
    p.add_argument("--label", action="append", default=[], metavar="K=V")
    p.add_argument("--arch", default={"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, "amd64"))
    p.add_argument("--ldd", action="append", default=[], metavar="BIN")
    p.add_argument("--gzip", action="store_true", help="smaller file, slower to make and to import")
    p.add_argument("files", nargs="*", metavar="SRC:DEST[:MODE]")
    return p.parse_args()


def libraries(binary):
    """The absolute paths ldd names: "libc.so.6 => /lib/... (0x..)" and "/lib64/ld-linux... (0x..)"."""
    out = subprocess.run(["ldd", binary], capture_output=True, text=True)
    if out.returncode or "not found" in out.stdout:
        sys.exit(f"mkimage: ldd {binary}: {out.stdout}{out.stderr}")
    return [word for word in out.stdout.split() if word.startswith("/")]


def entries(args):
    """What goes into the layer, sorted: path -> ("dir", mode) | ("link", target) | ("file", mode, source)."""
    found = {"tmp": ("dir", 0o1777)}

    def parents(path):
        while path := os.path.dirname(path):
            found.setdefault(path, ("dir", 0o755))

    def add(source, dest, mode=None):
        dest = dest.strip("/")
        parents(dest)
        if os.path.isdir(source):
            if dest:
                found.setdefault(dest, ("dir", mode or 0o755))
            for name in os.listdir(source):
                add(os.path.join(source, name), f"{dest}/{name}")
        elif os.path.isfile(source):
            found[dest] = ("file", mode or (0o755 if os.access(source, os.X_OK) else 0o644), source)
        else:
            sys.exit(f"mkimage: no such file: {source}")

    for binary in args.ldd:
        for library in libraries(binary):
            add(library, library, 0o755)
    for spec in args.files:
        parts = spec.split(":")
        if len(parts) not in (2, 3):
            sys.exit(f"mkimage: not SRC:DEST[:MODE]: {spec}")
        if parts[0].startswith("@"):
            parents(parts[1].strip("/"))
            found[parts[1].strip("/")] = ("link", parts[0][1:])
        else:
            add(parts[0], parts[1], int(parts[2], 8) if len(parts) == 3 else None)
    for path, text in (("etc/passwd", PASSWD), ("etc/group", GROUP)):
        if path not in found:
            parents(path)
            found[path] = ("file", 0o644, text.encode())
    return sorted(found.items())


def content(source):
    if isinstance(source, bytes):
        return source
    with open(source, "rb") as f:
        return f.read()


def content_key(args, items):
    """Changes whenever the archive would: this script, the options and every entry with its bytes."""
    options = {k: v for k, v in vars(args).items() if k not in ("out", "ldd", "files")}
    key = hashlib.sha256(content(os.path.abspath(__file__)))
    key.update(json.dumps(options, sort_keys=True).encode())
    for path, (kind, *rest) in items:
        if kind == "file":
            rest[1] = hashlib.sha256(content(rest[1])).hexdigest()
        key.update(repr((path, kind, rest)).encode())
    return key.hexdigest()


def layer_of(items):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, (kind, *rest) in items:
            info, data = tarfile.TarInfo(path), None
            if kind == "dir":
                info.type, info.mode = tarfile.DIRTYPE, rest[0]
            elif kind == "link":
                info.type, info.linkname = tarfile.SYMTYPE, rest[0]
            else:
                bytes_ = content(rest[1])
                info.mode, info.size, data = rest[0], len(bytes_), io.BytesIO(bytes_)
            tar.addfile(info, data)
    return buffer.getvalue()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def write_archive(args, items):
    layer = layer_of(items)
    diff_id = digest(layer)
    if args.gzip:
        layer = gzip.compress(layer, 1, mtime=0)
    blobs = {}

    def blob(data, kind):
        blobs[digest(data)] = data
        return {"mediaType": OCI + kind, "digest": digest(data), "size": len(data)}

    env = args.env if any(e.startswith("PATH=") for e in args.env) else [PATH_ENV, *args.env]
    config = {
        "architecture": args.arch,
        "os": "linux",
        "config": {
            "Env": env,
            "Entrypoint": args.entrypoint,
            "Cmd": args.cmd,
            "WorkingDir": args.workdir,
            "User": args.user,
            "Labels": dict(label.split("=", 1) for label in args.label),
        },
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI + "manifest.v1+json",
        "layers": [blob(layer, "layer.v1.tar+gzip" if args.gzip else "layer.v1.tar")],
        "config": blob(json.dumps(config).encode(), "config.v1+json"),
    }
    entry = blob(json.dumps(manifest).encode(), "manifest.v1+json")
    entry["platform"] = {"architecture": args.arch, "os": "linux"}
    entry["annotations"] = {
        "io.containerd.image.name": args.tag,
        "org.opencontainers.image.ref.name": args.tag.rsplit(":", 1)[-1],
    }
    index = {"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": [entry]}
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps(index).encode()}
    files.update((f"blobs/sha256/{name[7:]}", data) for name, data in blobs.items())
    with tarfile.open(args.out + ".part", "w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    os.replace(args.out + ".part", args.out)
    return entry["digest"], len(layer)


def main():
    args = arguments()
    items = entries(args)
    key, key_file = content_key(args, items), args.out + ".key"
    try:
        made, size = open(key_file).read().split()
        if made == key and os.path.getsize(args.out) == int(size):
            print(f"{args.tag} unchanged")
            return
    except (OSError, ValueError):
        pass
    manifest, size = write_archive(args, items)
    with open(key_file, "w") as f:
        f.write(f"{key} {os.path.getsize(args.out)}\n")
    print(f"{args.tag} {manifest} {size} bytes")


if __name__ == "__main__":
    main()
