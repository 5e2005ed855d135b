"""Export for TensorFlow Serving; `run_export.py` calls `saved_model.export_saved_model`."""
