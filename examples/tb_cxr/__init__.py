"""The main job on real chest X-rays of three hospitals."""
