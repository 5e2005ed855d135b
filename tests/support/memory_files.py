"""A file system of Beam's that is in the memory of this process: memory://..."""

import io

from apache_beam.io.filesystem import BeamIOError, FileMetadata, FileSystem

SCHEME = "memory"


class MemoryFileSystem(FileSystem):
    """Files by name, folders that have to be made, and names that cannot be taken by renaming.

    Attributes:
      files: contents of the files that were closed.
      folders: that there are.
      renamed: pairs of names.
    """

    files: dict[str, bytes] = {}  # noqa: RUF012
    folders: set[str] = set()  # noqa: RUF012
    renamed: list[tuple[str, str]] = []  # noqa: RUF012

    @classmethod
    def scheme(cls):
        return SCHEME

    @classmethod
    def clear(cls):
        for container in (cls.files, cls.folders, cls.renamed):
            container.clear()

    def join(self, basepath, *paths):
        return "/".join([basepath.rstrip("/"), *paths])

    def split(self, path):
        head, _, tail = path.rpartition("/")
        return head, tail

    def mkdirs(self, path):
        if path in self.folders:
            raise BeamIOError(f"{path} exists")
        self.folders.add(path)

    def has_dirs(self):
        return True

    def _list(self, dir_or_prefix):
        for name, content in list(self.files.items()):
            if name.startswith(f"{dir_or_prefix}/"):
                yield FileMetadata(name, len(content))

    def create(self, path, mime_type=None, compression_type=None):
        if self.split(path)[0] not in self.folders:
            raise BeamIOError(f"{path} has no folder")
        return _Written(self, path)

    def open(self, path, mime_type=None, compression_type=None):
        if path not in self.files:
            raise BeamIOError(f"no file {path}")
        return io.BytesIO(self.files[path])

    def copy(self, source_file_names, destination_file_names):
        raise NotImplementedError

    def rename(self, source_file_names, destination_file_names):
        for source, target in zip(source_file_names, destination_file_names, strict=True):
            if target in self.files or self.split(target)[0] not in self.folders:
                raise BeamIOError(f"{source} cannot become {target}")
            self.files[target] = self.files.pop(source)
            self.renamed.append((source, target))

    def exists(self, path):
        return path in self.files or path in self.folders

    def size(self, path):
        return len(self.files[path])

    def last_updated(self, path):
        raise NotImplementedError

    def checksum(self, path):
        raise NotImplementedError

    def metadata(self, path):
        return FileMetadata(path, self.size(path))

    def delete(self, paths):
        for path in paths:
            del self.files[path]


class _Written(io.BytesIO):
    def __init__(self, system, path):
        super().__init__()
        self._system, self._path = system, path

    def close(self):
        if not self.closed:
            self._system.files[self._path] = self.getvalue()
        super().close()
