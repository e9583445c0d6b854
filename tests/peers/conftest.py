"""What needs other programs is collected only where those are named."""

import os

collect_ignore = [] if os.environ.get("NUMBACNN_KERAS") or os.environ.get("NUMBACNN_TF_KERAS") else ["test_keras_files.py"]
