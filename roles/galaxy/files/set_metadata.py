"""The program that sets the metadata of a job's outputs; Galaxy's packages leave it out.

Jobs call it as galaxy_ext.metadata.set_metadata.
"""

from galaxy.metadata.set_metadata import set_metadata

__all__ = ("set_metadata",)

if __name__ == "__main__":
    set_metadata()
