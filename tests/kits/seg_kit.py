"""DICOM-SEG files of a synthetic radiograph, made by highdicom."""

from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentDescription
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid


def radiograph(shape):
    """A black CR image."""
    film = Dataset()
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    film.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    film.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["film"])
    film.SOPClassUID = ComputedRadiographyImageStorage
    film.SOPInstanceUID = film.file_meta.MediaStorageSOPInstanceUID
    film.StudyInstanceUID = generate_uid(entropy_srcs=["study"])
    film.SeriesInstanceUID = generate_uid(entropy_srcs=["series"])
    film.PatientID, film.PatientName = "17", "Phantom^Seventeen"
    film.PatientBirthDate = film.PatientSex = film.AccessionNumber = ""
    film.StudyID, film.StudyDate, film.StudyTime = "1", "20240506", "070809"
    film.ReferringPhysicianName = ""
    film.Modality, film.SeriesNumber, film.InstanceNumber = "CR", 1, 1
    film.Rows, film.Columns = shape
    film.SamplesPerPixel, film.PhotometricInterpretation = 1, "MONOCHROME2"
    film.BitsAllocated, film.BitsStored, film.HighBit, film.PixelRepresentation = 16, 12, 11, 0
    film.PixelData = bytes(2 * shape[0] * shape[1])
    return film


def _described(number, label):
    return SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=codes.SCT.Organ,
        segmented_property_type=codes.SCT.Lung,
        algorithm_type=SegmentAlgorithmTypeValues.MANUAL,
    )


def segmentation(path, planes, kind="BINARY", labels=("stomach",), **options):
    """Save a segmentation of [height, width, segments], or for a label map [height, width]."""
    dataset = Segmentation(
        source_images=[radiograph(planes.shape[:2])],
        pixel_array=planes[None],
        segmentation_type=kind,
        segment_descriptions=[_described(i, label) for i, label in enumerate(labels, start=1)],
        series_instance_uid=generate_uid(entropy_srcs=["seg series"]),
        series_number=2,
        sop_instance_uid=generate_uid(entropy_srcs=["seg"]),
        instance_number=1,
        manufacturer="none",
        manufacturer_model_name="none",
        software_versions="1",
        device_serial_number="1",
        **options,
    )
    dataset.save_as(path)
    return path
